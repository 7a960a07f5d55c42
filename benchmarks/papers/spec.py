# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Tables as data: what each row trains, what is measured, what the papers report.

Table -> Row -> Recipe (config, edits, Head) x seed -> one run
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.papers.edits import Edit

SCALES = ('demo', 'paper')
# Row name -> seed -> row of its run; seeds asked for; the command; the Markdown file -> its text.
Render = Callable[[Mapping[str, Mapping[int, Any]], Sequence[int], str, Path], str]


@dataclass(frozen=True)
class Recipe:
    """What one run trains.

    Attributes:
        config: Shipped config below ``configs/``, without ``.py``; or the path of yours, with it.
        edits: What the row changes in it.
        head: Where the genotype comes from; None for a head that the config writes out.
    """

    config: str
    edits: tuple[Edit, ...] = ()
    head: 'Head | None' = None

    def path(self, root: Path) -> Path:
        """Return the file of the config, where ``root`` holds ``configs/``."""
        is_own = self.config.endswith('.py')
        return Path(self.config) if is_own else root / 'configs' / f'{self.config}.py'


@dataclass(frozen=True)
class Head:
    """Where the genotype of a head comes from; its widths are the recipe's that takes it.

    Attributes:
        kind: ``'searched'``: by a search with the seed of the run.
            ``'random'``: drawn uniformly from the choices of a search.
            ``'published'``: a committed file.
        search: The search; None for a published one.
        draw: Number of the random genotype.
        file: Path of the published genotype below the root of the project.
    """

    kind: str
    search: Recipe | None = None
    draw: int = 0
    file: str = ''


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        name: What the line is called.
        recipe: What it trains: a backbone, a genotype (a search) or a detector from random
            weights. With ``members``, nothing.
        against: Names of the rows that it is compared with.
        paper: What the papers report for it, such as ``'91.0'`` or ``'88.02 ± 0.35'``.
        members: Names of rows whose mean by seed this line shows.
    """

    name: str
    recipe: Recipe | None = None
    against: tuple[str, ...] = ()
    paper: str = ''
    members: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """Rows, and how they are measured.

    Attributes:
        title: What the table shows.
        rows: The lines, in order.
        columns: Metric -> title of its column; the first one is what rows are compared by.
        paper: Title of the column of the papers' figures; '' for none.
        linear: Config of the linear evaluation below ``configs/``; '' for none.
        features: Whether the cached features are evaluated.
        fractions: Fractions of the labels for the label curve.
        detection: The detector that is trained on each backbone; None for none.
        curves: Whether the losses are drawn over the epochs.
        genotypes: Whether the genotypes that the rows search are drawn.
        tasks: Downstream tasks (benchmarks/tasks) that each backbone is measured on.
        render: Writes the page of a study, and its rows beside it; None for a plain table.
        notes: Lines below the table.
    """

    title: str
    rows: tuple[Row, ...]
    columns: Mapping[str, str]
    paper: str = ''
    linear: str = ''
    features: bool = True
    fractions: tuple[float, ...] = (0.01, 0.1)
    detection: Recipe | None = None
    curves: bool = False
    genotypes: bool = False
    tasks: tuple[str, ...] = ()
    render: Render | None = None
    notes: tuple[str, ...] = ()
