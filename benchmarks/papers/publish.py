# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Make the runs of a table one by one, and write the table with its evidence."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.papers.execution import RunFailed, Workshop
from benchmarks.papers.genotype_report import draw_genotypes
from benchmarks.papers.planning import Job, all_jobs
from benchmarks.papers.report import curves_of, read_rows, render_table
from benchmarks.papers.rows import LOG, ROW, read_row
from benchmarks.papers.spec import Table
from nasiam_mm.files.atomic import atomic_path
from nasiam_mm.report.pictures.loss_curves import plot_losses

# What proves a row and is small; checkpoints and mmengine's own logs stay.
_EVIDENCE = (
    ROW, LOG, 'genotype.json', 'features.json', 'linear.json', 'detection.json', 'detection.jsonl',
)  # fmt: skip


def make_runs(jobs: Sequence[Job], table: Table, workshop: Workshop) -> list[str]:
    """Make runs in order, a line for each; a failed one does not stop the others.

    Returns:
        What failed, a sentence each.
    """
    failed = []
    for number, job in enumerate(jobs, start=1):
        label = f'[{number}/{len(jobs)}] {job.name}'
        if workshop.state(job, table) == 'measured':
            print(f'{label}: measured already', flush=True)
            continue
        print(f'{label}: {workshop.of(job) / "console.log"}', flush=True)
        try:
            row = workshop.make(job, table)
        except BlockingIOError:
            print(f'{label}: another process is at it', flush=True)
        except RunFailed as error:
            failed.append(str(error))
            print(f'[{number}/{len(jobs)}] {error}', flush=True)
        else:
            shown = '  '.join(f'{name} {value:.2f}' for name, value in row['metrics'].items())
            print(f'{label}: {shown}', flush=True)
    return failed


def publish(
    table: Table,
    plan: Mapping[str, Mapping[int, Job]],
    workshop: Workshop,
    seeds: Sequence[int],
    command: str,
    target: Path,
    with_evidence: bool = False,
) -> None:
    """Write a table of what is measured so far, and its pictures beside it.

    Args:
        table: The table.
        plan: Its runs.
        workshop: Where they are.
        seeds: Seeds asked for.
        command: Command that makes the table.
        target: Markdown file.
        with_evidence: Whether rows, logs and genotypes are copied beside it.
    """
    rows = read_rows(plan, workshop)
    more = ''
    if table.curves and any(rows.values()):
        picture = target.with_name(f'{target.stem}_loss.png')
        plot_losses(curves_of(table, rows, workshop.folder), picture, table.title)
        more = f'![loss over the epochs]({picture.name})'
    if table.genotypes:
        # Where the genotype of a search lies below its run, and where its copy is exported.
        link = 'genotype.json' if with_evidence else 'train/genotype.json'
        more = draw_genotypes(table, plan, rows, workshop, target, link)
    text = render_table(table, rows, seeds, command, more)
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding='utf-8')
    if with_evidence:
        for job in all_jobs(plan):
            folder = workshop.of(job)
            if read_row(folder, job.digest) is not None:
                _copy_evidence(folder, target.parent / 'runs' / job.name)


def _copy_evidence(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for name in _EVIDENCE:
        if (source / name).is_file():
            with atomic_path(target / name) as temporary:
                shutil.copyfile(source / name, temporary)
    found = source / 'train/genotype.json'
    if found.is_file():
        with atomic_path(target / 'genotype.json') as temporary:
            shutil.copyfile(found, temporary)
