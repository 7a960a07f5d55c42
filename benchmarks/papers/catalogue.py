# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""All tables by name: those of the papers, and yours.

A table of yours is one file, or a module that can be imported, which registers it:

    from benchmarks.papers.catalogue import TABLES
    from benchmarks.papers.spec import Recipe, Row, Table

    @TABLES.register_module(name='mine')
    def mine(scale: str) -> Table:
        rows = Row('standard', Recipe('nasiam/simsiam_r18_baseline_cifar10_demo')), ...
        return Table('My table', rows, {'knn_fixed_test': 'kNN top-1'})

    python -m benchmarks.papers mine --file my_table.py
"""

import importlib
import os
import sys
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

from mmengine.registry import Registry

from benchmarks.papers.planning import Job
from benchmarks.papers.spec import SCALES, Table

_MODULES = ('nasiam', 'simsiam', 'frameworks', 'talk', 'detection')
# Name -> function that makes the table at a scale, 'demo' or 'paper'.
TABLES = Registry(
    'table',
    locations=[
        *(f'benchmarks.papers.{name}' for name in _MODULES),
        'benchmarks.backbones.table',
    ],
)


def table_names() -> list[str]:
    """Name the tables there are."""
    TABLES.import_from_location()
    return list(TABLES.module_dict)


def import_tables(source: str) -> None:
    """Import a file, ``my_table.py``, or a module that registers tables.

    Its folder is where the runs look for modules too: a recipe may name
    models of it in ``custom_imports``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no Python, or there is no such module.
    """
    path = Path(source)
    if path.suffix == '.py':
        if not path.is_file():
            raise FileNotFoundError(f"file of tables '{source}' does not exist")
        folder, source = str(path.resolve().parent), path.stem
        if folder not in sys.path:
            sys.path.insert(0, folder)
        old = os.environ.get('PYTHONPATH')
        os.environ['PYTHONPATH'] = folder if old is None else f'{folder}{os.pathsep}{old}'
    try:
        importlib.import_module(source)
    except (SyntaxError, ModuleNotFoundError) as error:
        raise ValueError(f"tables '{source}' cannot be imported: {error}") from error


def find_table(name: str, scale: str) -> Table:
    """Return a table at a scale.

    Raises:
        ValueError: If there is none of that name, or not at that scale.
    """
    if name not in table_names():
        raise ValueError(f"there is no table '{name}'; there are {', '.join(table_names())}")
    if scale not in SCALES:
        raise ValueError(f"scale '{scale}' is none of {', '.join(SCALES)}")
    return TABLES.get(name)(scale)


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
