# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What searches and pretrainings return: read from their folders, shown by a notebook."""

import html
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from nasiam_mm.api.quiet import named_as_arguments
from nasiam_mm.architecture.genotype import Genotype
from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.export.checkpoint import read_pretrained
from nasiam_mm.export.embeddings import find_run_checkpoint
from nasiam_mm.files.regular import read_json
from nasiam_mm.runs.store import read_curves

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_GENOTYPE, _VERDICT = 'genotype.json', 'verdict.json'
# What is drawn beside the loss, by the label of its axis: RankMe where there are no labels.
_MEASURED = {
    'top-1 of validation images, %': {'knn/val_top1': 'kNN', 'measure/linear': 'linear probe'},
    'RankMe of validation images': {'measure/rankme': 'RankMe'},
}


@dataclass(frozen=True, repr=False)
class Search:
    """A finished search.

    Attributes:
        folder: Where it lies.
        genotype: The head that it found; of a study, the one to use.
        verdict: What a study answers, as ``verdict.json`` has it: ``answer`` is ``'use'``,
            ``'keep'`` or ``'undecided'``, ``sentence`` a line for people. None without a study: the
            head was not held against the standard one yet.
    """

    folder: Path
    genotype: Genotype | None
    verdict: Mapping[str, Any] | None = None

    def figure(self) -> 'Figure':
        """Draw the head.

        Raises:
            ValueError: If there is none.
        """
        from nasiam_mm.report.pictures.genotype_drawing import genotype_figure

        if self.genotype is None:
            raise ValueError(f'{self.folder}: the search ended without a genotype to draw')
        return genotype_figure(self.genotype)

    def __repr__(self) -> str:
        what = 'no genotype'
        if self.genotype is not None:
            what = f'{self.genotype.framework}, {self.genotype.summary}'
        answer = (
            self.verdict.get('answer') if self.verdict else 'not held against the standard head'
        )
        return f'Search({str(self.folder)!r}: {what}; {answer})'

    def _repr_html_(self) -> str:
        told = self.verdict['sentence'] if self.verdict else 'not held against the standard head'
        picture = '' if self.genotype is None else self.genotype._repr_svg_()
        return f'<p>{html.escape(str(self.folder))}: {html.escape(str(told))}</p>{picture}'


@dataclass(frozen=True, repr=False)
class Pretraining:
    """A pretraining.

    Attributes:
        folder: Where it lies.
        checkpoint: Its last whole checkpoint.
        genotype: The head that it was trained with, as the file of it is now; None for the
            standard head.
        scores: What was measured last: ``'knn/val_top1'`` and ``'measure/linear'`` in percent,
            where there are labels.
        curves: Scalar -> epoch -> value, as logged.
        verdict: None; see :class:`Search`.
    """

    folder: Path
    checkpoint: Path
    genotype: Genotype | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    verdict: None = None

    def backbone(self) -> nn.Module:
        """Build the backbone with its weights, in evaluation mode.

        Raises:
            ValueError: If the checkpoint holds none.
        """
        return read_pretrained(self.checkpoint).build()

    def figure(self) -> 'Figure':
        """Draw the loss over the epochs, and at the right what was measured: kNN and linear."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(5, 3), layout='constrained')
        title = '/'.join(self.folder.parts[-2:])
        axes = figure.add_subplot(xlabel='epoch', ylabel='loss', title=title)
        loss = self.curves.get('loss', {})
        marker = '.' if len(loss) < 30 else ''
        lines = axes.plot(list(loss), list(loss.values()), marker=marker, label='loss')
        shown = _shown(self.curves)
        if shown is not None:
            right = axes.twinx()
            right.set_ylabel(shown[0])
            for n, (name, curve) in enumerate(shown[1].items(), start=1):
                drawn = right.plot(
                    list(curve), list(curve.values()), f'C{n}', marker='.', label=name
                )
                lines += drawn
            axes.legend(handles=lines, fontsize='small')
        return figure

    def __repr__(self) -> str:
        head = 'the standard head'
        if self.genotype is not None:
            head = f'{self.genotype.framework}, {self.genotype.summary}'
        told = ', '.join(f'{name} {value:.4g}' for name, value in self.scores.items())
        return f'Pretraining({str(self.folder)!r}: {head}, {told or "not measured"})'

    def _repr_html_(self) -> str:
        from nasiam_mm.report.pictures.figure import figure_svg

        told = ', '.join(f'{name} {value:.4g}' for name, value in self.scores.items())
        line = f'{self.checkpoint}: {told or "not measured"}'
        return f'<p>{html.escape(line)}</p>{figure_svg(self.figure())}'


def _shown(
    curves: Mapping[str, Mapping[int, float]],
) -> tuple[str, dict[str, Mapping[int, float]]] | None:
    """Return what is drawn beside the loss, by name, and its axis; None if nothing was measured."""
    for label, names in _MEASURED.items():
        if found := {told: curves[name] for name, told in names.items() if curves.get(name)}:
            return label, found
    return None


def path_of(argument: str, value: Any) -> str:
    """Return what a caller gave as a path; ValueError, which names the argument, for what is none.

    Args:
        argument: Its name.
        value: What was given.
    """
    if not isinstance(value, (str, os.PathLike)) or not isinstance(os.fspath(value), str):
        raise ValueError(f'{argument}: {value!r:.80} is no path')
    return os.fspath(value)


def load(path: str | os.PathLike) -> Search | Pretraining | Genotype:
    """Read what a run has left.

    Args:
        path: File of a genotype; a checkpoint; or the folder of a search, a study or a pretraining.
            A folder of results with ``pretrain``, ``baseline`` or ``search`` below it stands for
            the first of them that is there.

    Raises:
        FileNotFoundError: If there is nothing of a run.
        ValueError: If a file in it is damaged, or ``path`` is no path.
    """
    path = Path(path_of('path', path))
    with named_as_arguments():
        if path.is_file() and path.suffix == '.json':
            return load_genotype(path)
        if path.is_dir() and ((path / _GENOTYPE).is_file() or (path / _VERDICT).is_file()):
            return read_search(path)
        checkpoint = find_run_checkpoint(path)
        folder = checkpoint.parent
        if (folder / _GENOTYPE).is_file() and path.is_dir():
            return read_search(folder)
        return read_pretraining(folder, checkpoint)


def read_search(folder: Path) -> Search:
    """Read a search or a study from its folder; FileNotFoundError if it has not ended."""
    file, verdict = folder / _GENOTYPE, folder / _VERDICT
    if not file.is_file() and not verdict.is_file():
        raise FileNotFoundError(f'{folder}: the search has not ended; the same call goes on')
    genotype = load_genotype(file) if file.is_file() else None
    return Search(folder, genotype, read_json(verdict) if verdict.is_file() else None)


def read_pretraining(folder: Path, checkpoint: Path | None = None) -> Pretraining:
    """Read a pretraining; FileNotFoundError if it has left no checkpoint."""
    from nasiam_mm.files.checkpoint import read_checkpoint
    from nasiam_mm.files.config_text import config_within

    checkpoint = checkpoint or find_run_checkpoint(folder)
    if not checkpoint.is_file():
        raise FileNotFoundError(f"'{checkpoint}' does not exist")
    curves = read_curves(folder)
    scores = {
        name: list(curve.values())[-1]
        for name, curve in curves.items()
        if curve and name.startswith(('knn/', 'measure/'))
    }
    saved: Any = read_checkpoint(checkpoint, 'cpu', mmap=True)
    try:
        file = config_within(saved)['model'].get('genotype')
    except (KeyError, TypeError, ValueError, AttributeError):
        file = None
    is_there = isinstance(file, str) and Path(file).is_file()
    genotype = load_genotype(file) if isinstance(file, str) and is_there else None
    return Pretraining(folder, checkpoint, genotype, scores, curves)
