# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""All tables by name."""

from collections.abc import Callable, Sequence
from fnmatch import fnmatch
from functools import partial

from benchmarks.papers import ablation_tables, detection_table, tables
from benchmarks.papers.planning import Job
from benchmarks.papers.spec import Table

TABLES: dict[str, Callable[[str], Table]] = {
    'heads': tables.heads,
    't1': tables.space_ablation,
    't2': partial(tables.cifar_comparison, dataset=10),
    't3': tables.t3,
    't4': tables.t4,
    'fig2': partial(tables.space_ablation, name='fig2', curves=True),
    'fig3': tables.fig3,
    'fig4': tables.fig4,
    'fig5': tables.fig5,
    'simsiam-ablations': ablation_tables.simsiam_ablations,
    'study003': ablation_tables.study003,
    'detection': detection_table.detection,
}


def find_table(name: str, scale: str) -> Table:
    """Return a table at a scale.

    Raises:
        ValueError: If there is none of that name, or not at that scale.
    """
    if name not in TABLES:
        raise ValueError(f"there is no table '{name}'; there are {', '.join(TABLES)}")
    if scale not in tables.SCALES:
        raise ValueError(f"scale '{scale}' is none of {', '.join(tables.SCALES)}")
    return TABLES[name](scale)


def select_rows(
    table: Table, plan: dict[str, dict[int, Job]], patterns: Sequence[str] | None
) -> dict[str, dict[int, Job]]:
    """Keep the rows of a plan whose names match one of the patterns; all for None.

    Raises:
        ValueError: If no row matches.
    """
    if patterns is None:
        return plan
    names = {
        name
        for row in table.rows
        if any(fnmatch(row.name, pattern) for pattern in patterns)
        for name in (row.members or (row.name,))
    }
    if not names:
        raise ValueError(f'no row matches {list(patterns)}; there are {list(plan)}')
    return {name: runs for name, runs in plan.items() if name in names}
