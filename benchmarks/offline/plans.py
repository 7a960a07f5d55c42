# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A plan, rows of tables in the order in which they are made, and a walk through it.

    {"defaults": {"scale": "paper", "epochs": 100}, "items": [{"table": "t1", "rows": ["S"]}, ...]}

Fields of an item are those of :class:`Item`; "defaults" holds what items leave out.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from benchmarks.papers.budget import Budget, reschedule, restrict
from benchmarks.papers.catalogue import find_table, select_rows
from benchmarks.papers.execution import TimeUp, Workshop
from benchmarks.papers.planning import Job, all_jobs, plan_table
from benchmarks.papers.publishing import make_runs
from benchmarks.papers.rows import read_row
from benchmarks.papers.spec import Table


@dataclass(frozen=True)
class Item:
    """Rows of one table.

    Attributes:
        table: Name of the table.
        rows: Patterns of the rows' names.
        seeds: Seeds of the runs.
        scale: Scale of the table.
        epochs: Epochs of pretraining; None for those of the recipe.
        search_epochs: Epochs of a search; likewise.
        fast: Whether the recipes are made fast on an accelerator.
    """

    table: str
    rows: tuple[str, ...] = ('*',)
    seeds: tuple[int, ...] = (0,)
    scale: str = 'paper'
    epochs: int | None = None
    search_epochs: int | None = None
    fast: bool = False

    @property
    def budget(self) -> Budget:
        """What it changes in the recipes."""
        return Budget(self.epochs, self.search_epochs, self.fast)


@dataclass(frozen=True)
class Work:
    """An item resolved.

    Attributes:
        item: The item.
        table: Its table, of its rows alone.
        plan: Row name -> seed -> run.
    """

    item: Item
    table: Table
    plan: dict[str, dict[int, Job]]

    @property
    def jobs(self) -> list[Job]:
        """Its runs, searches before what they are needed for."""
        return all_jobs(self.plan)


def read_plan(path: Path) -> list[Item]:
    """Read a plan.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no plan; the message names the item.
    """
    if not path.is_file():
        raise FileNotFoundError(f"plan '{path}' does not exist")
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
        defaults, listed = content.get('defaults', {}), content['items']
    except (json.JSONDecodeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path} is no plan: JSON with 'items', a list of rows") from error
    return [_item({**defaults, **own}, f'{path}, item {n}') for n, own in enumerate(listed, 1)]


def _item(given: dict, where: str) -> Item:
    known = {field.name for field in fields(Item)}
    if unknown := set(given) - known:
        raise ValueError(f'{where}: no field {sorted(unknown)[0]!r}; there are {sorted(known)}')
    if 'table' not in given:
        raise ValueError(f"{where}: names no 'table'")
    for name in ('rows', 'seeds'):
        if not isinstance(given.get(name, []), list):
            raise ValueError(f'{where}: {name} must be a list, got {given[name]!r}')
    lists = {name: tuple(given[name]) for name in ('rows', 'seeds') if name in given}
    return Item(**{**given, **lists})


def resolve(item: Item, root: Path) -> Work:
    """Resolve an item to its runs.

    Raises:
        ValueError: If there is no such table, scale, row or seed.
    """
    table = reschedule(find_table(item.table, item.scale), item.budget)
    plan = select_rows(table, plan_table(table, item.seeds, root), item.rows)
    return Work(item, restrict(table, plan), plan)


def tables_of(items: Sequence[Item], root: Path) -> list[Work]:
    """Join the items that are rows of the same table on the same budget, for rendering.

    A table then shows every row that one of its items names, with every seed.
    """
    groups: dict[tuple, list[Item]] = {}
    for item in items:
        groups.setdefault((item.table, item.scale, item.budget), []).append(item)
    return [
        resolve(
            Item(
                table,
                tuple(dict.fromkeys(pattern for item in group for pattern in item.rows)),
                tuple(sorted({seed for item in group for seed in item.seeds})),
                scale,
                budget.epochs,
                budget.search_epochs,
                budget.fast,
            ),
            root,
        )
        for (table, scale, budget), group in groups.items()
    ]


def rows_of(work: Work, job: Job) -> list[str]:
    """Name the rows that need a run."""
    return [
        name
        for name, runs in work.plan.items()
        if any(job.digest == needed.digest for run in runs.values() for needed in run.needed())
    ]


@dataclass(frozen=True)
class Outcome:
    """What a walk through a plan came to.

    Attributes:
        left: Runs that are not measured.
        failed: What failed, a sentence each.
        is_cut: Whether the time was over first.
    """

    left: int
    failed: list[str]
    is_cut: bool


def walk(items: Sequence[Item], workshop: Workshop) -> Outcome:
    """Make the runs of a plan in its order, until all are measured or the time is over.

    What is measured is passed over, so that each call goes on with the first
    run that is not. A run that fails is told and does not stop the others.
    """
    works = [resolve(item, workshop.root) for item in items]
    failed: list[str] = []
    is_cut = False
    try:
        for work in works:
            jobs = [job for job in work.jobs if workshop.state(job, work.table) != 'measured']
            if jobs:
                failed += make_runs(jobs, work.table, workshop)
    except TimeUp as error:
        is_cut = True
        print(f'time is up: {error}', flush=True)
    listed = overview(works, workshop)
    print('\n'.join(line for _, line in listed), flush=True)
    return Outcome(sum(not is_done for is_done, _ in listed), failed, is_cut)


def overview(works: Sequence[Work], workshop: Workshop) -> list[tuple[bool, str]]:
    """Return for each run of a plan, in its order, whether it is measured, and a line on it."""
    lines: dict[str, tuple[bool, str]] = {}
    for work in works:
        for job in work.jobs:
            state = workshop.state(job, work.table)
            label = f'{work.item.table}: {", ".join(rows_of(work, job))}'
            kind = 'search' if job.is_search else f'{job.cfg.train_cfg.max_epochs} epochs'
            line = f'{state:<9} {label:<44} seed {job.seed}  {kind:<10} '
            line += _progress(job, state, work.table, workshop)
            # Of tables that share a run the one that needs more of it decides.
            if job.digest not in lines or lines[job.digest][0]:
                lines[job.digest] = (state == 'measured', line.rstrip())
    return list(lines.values())


def _progress(job: Job, state: str, table: Table, workshop: Workshop) -> str:
    folder = workshop.of(job)
    if state == 'measured':
        metrics = read_row(folder, job.digest)['metrics']
        shown = [name for name in table.columns if name in metrics][:2]
        return '  '.join(f'{name} {metrics[name]:.2f}' for name in shown)
    if state == 'to do':
        return ''
    saved = {place: _saved(folder / place) for place in ('train', 'linear')}
    return ', '.join(f'{place}: {text}' for place, text in saved.items() if text) or 'not yet saved'


def _saved(folder: Path) -> str:
    """Say how far a training is, by its last checkpoint."""
    from nasiam_mm.runs.work_dir import find_last_checkpoint

    found = find_last_checkpoint(folder) if folder.is_dir() else None
    if found is None or found.path is None:
        return ''
    return f'{found.epoch} epochs, {found.iteration} iterations saved'
