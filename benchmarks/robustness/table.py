# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A small table: a search, its head and the standard one, measured and tested linearly."""

import json
import re
import sys
from argparse import Namespace
from pathlib import Path

from benchmarks.papers.rows import ROW
from benchmarks.robustness.attempt import Attempt
from benchmarks.robustness.ends import compare_folders, compare_json, damage, is_writing
from benchmarks.robustness.recipe import reduce_config

_RECIPES = {
    **{k: f'nasiam/simclr_r18_{k}_cifar10' for k in ('search', 'pretrain', 'baseline')},
    'linear': 'benchmarks/linear/r18_cifar10_linear',
}
# The digest of a file that holds the time it was written at.
_PRETRAINED = 'identity.model.backbone.init_cfg.checkpoint'
_SECONDS = re.compile(
    r'\| \d+ \| \d+ (?=\| \[log\])|[\d.]+ hours on the clock, [\d.]+ of processes'
)
_TABLE = """
from benchmarks.papers.catalogue import TABLES
from benchmarks.papers.spec import Head, Recipe, Row, Table


@TABLES.register_module(name='small')
def small(scale):
    standard, searched = Recipe({baseline!r}), Head('searched', Recipe({search!r}))
    rows = (
        Row('standard', standard),
        Row('searched', Recipe({pretrain!r}, head=searched), ('standard',)),
    )
    columns = {{'linear_top1': 'linear', 'knn_fixed_test': 'kNN', 'loss': 'loss'}}
    return Table('Small', rows, columns, linear={linear!r}, fractions=(0.1,), curves=True)
"""


class SmallTable:
    """A table whose runs take seconds, made by ``benchmarks.papers``."""

    name, started = 'table', '[1/'
    # Its runs are where its time goes: training, features, linear classifiers, tests.
    moments = {'training': 7, 'writing': 4, 'starting': 2}

    def __init__(self, args: Namespace, work: Path) -> None:
        from benchmarks import ROOT

        configs = {}
        for kind, name in _RECIPES.items():
            cfg = reduce_config(Namespace(**{**vars(args), 'config': ROOT / f'configs/{name}.py'}))
            # A table takes this for the batch, as its runs are one process each.
            cfg.auto_scale_lr = dict(base_batch_size=args.batch_size)
            configs[kind] = str(work / f'{kind}.py')
            cfg.dump(configs[kind])
        self.file = work / 'small.py'
        self.file.write_text(_TABLE.format(**configs), encoding='utf-8')
        self._finished: dict[Path, int] = {}  # file of a finished run -> when it was written

    def begin(self, folder: Path) -> Attempt:
        """Make the table in a folder, as far as it is not."""
        program = [sys.executable, '-m', 'benchmarks.papers', 'small', '--file', str(self.file)]
        return Attempt(['--work-dir', str(folder)], folder, program)

    def is_at(self, attempt: Attempt, moment: str) -> bool:
        """Whether any file of the table is being written."""
        return is_writing(attempt.work_dir)

    def intrude(self, folder: Path) -> list[str]:
        """Ask nothing: another process of a table helps it, and leaves a run to who is at it."""
        return []

    def damage(self, folder: Path) -> list[str]:
        """Name what is not whole, and what of a finished run was written again."""
        changed = [
            f'written again: {path.relative_to(folder)}'
            for path, when in self._finished.items()
            if path.is_relative_to(folder) and (not path.exists() or _when(path) != when)
        ]
        for row in folder.glob(f'runs/*/{ROW}'):
            files = [path for path in row.parent.rglob('*') if path.is_file()]
            self._finished |= {path: _when(path) for path in files if path not in self._finished}
        return damage(folder) + changed

    def compare(self, whole: Path, torn: Path) -> list[str]:
        """Name the rows, measurements, logs, genotypes and weights of two tables that differ."""
        from benchmarks.compare import compare_checkpoints

        found = self.damage(torn) + compare_folders(whole, torn)
        for path in sorted(whole.rglob('*')):
            name = path.relative_to(whole)
            other = torn / name
            if not other.is_file() or 'vis_data' in name.parts or path.name == 'times.json':
                continue
            if path.suffix in ('.json', '.jsonl') and not path.name.startswith('owner'):
                differs = compare_json(path, other)
            elif path.suffix == '.pth':
                differs = [part for part in compare_checkpoints(path, other) if part != _PRETRAINED]
            elif path.suffix == '.md':
                differs = [] if _untimed(path) == _untimed(other) else ['text']
            else:
                continue
            found += [f'{name}: {part}' for part in differs]
        for console in torn.glob('runs/*/console.log'):
            if 'Traceback' in console.read_text(encoding='utf-8', errors='replace'):
                found.append(f'traceback in {console.relative_to(torn)}')
        return found

    def resumed_at(self, attempt: Attempt) -> int:
        """Return how many runs were finished before an attempt."""
        return attempt.text().count(': measured already')

    def done(self, attempt: Attempt) -> int:
        """Return how many runs are finished."""
        rows = attempt.work_dir.glob(f'runs/*/{ROW}')
        return sum('run' in json.loads(row.read_text(encoding='utf-8')) for row in rows)


def _untimed(path: Path) -> str:
    """Return the text of a table without what it says of seconds and hours."""
    return _SECONDS.sub('', path.read_text(encoding='utf-8'))


def _when(path: Path) -> int:
    return path.stat().st_mtime_ns
