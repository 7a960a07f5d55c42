# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Walk through a plan as far as the time goes, and say what is done and what is left."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.offline.plans import Item, Work, resolve, rows_of
from benchmarks.papers.execution import TimeUp, Workshop
from benchmarks.papers.planning import Job
from benchmarks.papers.publish import make_runs
from benchmarks.papers.rows import read_row
from benchmarks.papers.spec import Table


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
    from nasiam_mm.runs.last import find_last_checkpoint

    found = find_last_checkpoint(folder) if folder.is_dir() else None
    if found is None or found.path is None:
        return ''
    return f'{found.epoch} epochs, {found.iteration} iterations saved'
