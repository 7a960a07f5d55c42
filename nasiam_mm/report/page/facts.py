# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What the page knows of a run, a study or a genotype: read once, faults noted and passed over."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from nasiam_mm.architecture.genotype import Genotype
from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.datasets.headers import name_some
from nasiam_mm.files.marks import OWNER
from nasiam_mm.files.regular import read_json, read_text, require_regular
from nasiam_mm.probes.final import FINAL, read_final
from nasiam_mm.refusals import plain
from nasiam_mm.report.neighbours import NEIGHBOURS, read_neighbours
from nasiam_mm.report.page.scalars import Points, curves_of, minutes_of
from nasiam_mm.report.pictures.alpha_curves import load_alpha_history
from nasiam_mm.runs.record import merge_logs

_LOG_KEYS = ('sys.platform', 'Python', 'CUDA available', 'GPU 0', 'PyTorch', 'Distributed training')
_HEAD_OF_A_LOG = 20_000  # characters


@dataclass
class Facts:
    """What a folder or a genotype file holds.

    Attributes:
        path: Of the folder or file.
        name: By which it is told apart.
        faults: File -> why it cannot be read; what is not there has none.
    """

    path: Path
    name: str
    genotype: Genotype | None = None
    alpha: tuple | None = None  # history, candidates, epochs
    entries: list[dict[str, Any]] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)  # what decides the run
    contributions: dict[str, Any] = field(default_factory=dict)
    study: dict[str, Any] = field(default_factory=dict)  # verdict.json
    study_name: str = ''
    final: dict[str, Any] = field(default_factory=dict)
    neighbours: dict[str, Any] = field(default_factory=dict)
    system: dict[str, str] = field(default_factory=dict)
    config: Path | None = None
    faults: dict[str, str] = field(default_factory=dict)

    @property
    def is_search(self) -> bool:
        """Whether a search by gradient ran here."""
        return self.alpha is not None or any('alpha_step' in name for name in self.settings)

    @property
    def per_epoch(self) -> int | None:
        """Iterations of an epoch, None where nothing tells."""
        told = self.settings.get('iterations per epoch')
        return told if type(told) is int and told > 0 else None

    @cached_property
    def curves(self) -> dict[str, Points]:
        """Scalar -> (epoch, value)."""
        return curves_of(self.entries, self.per_epoch)

    @cached_property
    def minutes(self) -> Points:
        """(epoch, minutes of iterations so far)."""
        return minutes_of(self.entries, self.per_epoch)

    def last(self, scalar: str) -> float | None:
        """Last value of a scalar."""
        points = self.curves.get(scalar)
        return points[-1][1] if points else None

    @property
    def knn(self) -> str | None:
        """The scalar of kNN's top-1 in training, None where nothing was measured."""
        return next((name for name in self.curves if re.fullmatch(r'knn/\w+_top1', name)
                     and name != 'knn/final_top1'), None)  # fmt: skip

    @property
    def measures(self) -> list[str]:
        """Measures of the backbone that were logged, by their names."""
        return sorted(name[8:] for name in self.curves if name.startswith('measure/'))

    @property
    def epochs(self) -> tuple[float, Any]:
        """Epochs done, and those that the run was to have."""
        done = max((points[-1][0] for points in self.curves.values()), default=0.0)
        return round(done, 2), self.settings.get('train_cfg.max_epochs')

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Where the genotype came from."""
        return self.genotype.provenance if self.genotype else {}

    @property
    def dataset(self) -> str:
        """The data set by its name, or by that of its folder; '' where nothing tells."""
        budget = self.study.get('budget')
        root = budget.get('data') if isinstance(budget, dict) else None
        # Of one's own images the lists are in data/ of the folder of results.
        parts = [part for part in Path(str(root or '')).parts if part != 'data']
        told = self.provenance.get('dataset') or self.study.get('dataset')
        return str(told or (parts[-1] if parts else ''))

    @property
    def framework(self) -> str:
        """The algorithm, '' where nothing tells."""
        told = self.genotype.framework if self.genotype else self.settings.get('model.type')
        return str(told or '')


def read_facts(path: str | Path) -> Facts:
    """Read a work directory, a folder of a study or of one of its runs, or a genotype file.

    Raises:
        FileNotFoundError: If there is no such path.
        ValueError: If it holds nothing of a run, or is no genotype.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"'{path}' does not exist; name a work directory or a genotype")
    if not path.is_dir():
        return Facts(path, path.stem, genotype=load_genotype(path))
    folder = path / 'train' if (path / 'train').is_dir() else path
    facts = Facts(path, path.resolve().name)
    taken = _Reader(facts, folder)
    facts.genotype = taken('genotype.json', load_genotype)
    facts.alpha = taken('alpha.json', load_alpha_history)
    owner = taken(OWNER, _object) or {}
    facts.settings = owner['decided by'] if isinstance(owner.get('decided by'), dict) else {}
    facts.contributions = taken('contributions.json', _object) or {}
    facts.study = taken('verdict.json', _object) or {}
    facts.study_name = str(taken('study.txt', read_text) or '')
    facts.final = taken(FINAL, read_final) or {}
    facts.neighbours = taken(NEIGHBOURS, read_neighbours) or {}
    facts.entries = taken('', merge_logs) or []
    facts.system = _system(folder)
    configs = sorted(folder.glob('*.py')) or sorted(path.glob('config.py'))
    facts.config = configs[0] if len(configs) == 1 else None
    if not (facts.genotype or facts.entries or facts.study):
        told = next(iter(facts.faults.values()), 'no log, genotype or verdict')
        below = [entry.parent for entry in sorted(path.glob(f'*/{OWNER}'))]
        mend = f'name a run in it: {name_some(below)}' if below else 'name a work directory'
        raise ValueError(f"'{path}' holds nothing of a run: {told}; {mend}")
    return facts


class _Reader:
    """Reads files of a folder; what cannot be read is a fault, what is not there is none."""

    def __init__(self, facts: Facts, folder: Path) -> None:
        self.faults, self.folder = facts.faults, folder

    def __call__(self, name: str, read: Callable[[Path], Any]) -> Any:
        path = self.folder / name
        if not path.exists():
            return None
        try:
            return read(path)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            self.faults[name or 'scalars.json'] = plain(str(error))
            return None


def _object(path: Path) -> dict[str, Any]:
    data = read_json(path)
    if not isinstance(data, dict):
        raise ValueError(f"'{path}' is not an object of JSON")
    return data


def _system(folder: Path) -> dict[str, str]:
    """Return what the first log tells of the machine."""
    found: dict[str, str] = {}
    for log in sorted(folder.glob('*/*.log'))[:1]:
        try:
            with require_regular(log).open(encoding='utf-8', errors='replace') as file:
                head = file.read(_HEAD_OF_A_LOG)
        except (OSError, ValueError):
            continue
        for line in head.splitlines():
            name, colon, value = line.strip().partition(': ')
            if colon and name in _LOG_KEYS:
                found.setdefault(name, value.strip())
    return found
