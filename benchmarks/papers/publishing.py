# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Make the runs of a table one by one, and write the table with its pictures and evidence."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.papers.execution import RunFailed, Workshop
from benchmarks.papers.loss_curves import plot_losses
from benchmarks.papers.markdown import Rows, curves_of, markdown_table, read_rows, render_table
from benchmarks.papers.planning import Job, all_jobs
from benchmarks.papers.rows import LOG, ROW, read_row
from benchmarks.papers.spec import Table
from nasiam_mm.architecture.genotype import Decision, Genotype
from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.files.atomic import copy_file, write_text
from nasiam_mm.report.pictures.genotype_drawing import draw_genotype
from nasiam_mm.runs.commands import locked
from nasiam_mm.runs.work_dir import remove_leftovers

# What proves a row and is small; checkpoints and mmengine's own logs stay.
_EVIDENCE = (
    ROW, LOG, 'genotype.json', 'features.json', 'tasks.json', 'linear.json', 'detection.json',
    'detection.jsonl',
)  # fmt: skip
# Seed -> what its search found.
Found = Mapping[int, Genotype]


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
    target.parent.mkdir(parents=True, exist_ok=True)
    # One process at a time writes here, so that what another left half-written is to be removed.
    with locked(target.parent, wait=True):
        remove_leftovers(target.parent)
        rows = read_rows(plan, workshop)
        if table.render is not None:
            write_text(table.render(rows, seeds, command, target), target)
            return
        more = ''
        if table.curves and any(rows.values()):
            picture = target.with_name(f'{target.stem}_loss.png')
            plot_losses(curves_of(table, rows, workshop.folder), picture, table.title)
            more = f'![loss over the epochs]({picture.name})'
        if table.genotypes:
            # Where the genotype of a search lies below its run, and where its copy is exported.
            link = 'genotype.json' if with_evidence else 'train/genotype.json'
            more = show_genotypes(table, plan, rows, workshop, target, link)
        text = render_table(table, rows, seeds, command, more)
        write_text(text, target)
        if with_evidence:
            for job in all_jobs(plan):
                folder = workshop.of(job)
                if read_row(folder, job.digest) is not None:
                    _copy_evidence(folder, target.parent / 'runs' / job.name)


def _copy_evidence(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for name in _EVIDENCE:
        if (source / name).is_file():
            copy_file(source / name, target / name)
    found = source / 'train/genotype.json'
    if found.is_file():
        copy_file(found, target / 'genotype.json')


def show_genotypes(
    table: Table,
    plan: Mapping[str, Mapping[int, Job]],
    rows: Rows,
    workshop: Workshop,
    target: Path,
    link: str,
) -> str:
    """Draw the genotypes found so far beside a Markdown file.

    Args:
        table: The table.
        plan: Its searches.
        rows: What of them is made; a search without a row does not count.
        workshop: Where they are.
        target: The Markdown file.
        link: Path of a genotype below the folder of its run, for the links.

    Returns:
        Markdown, a section for each row.
    """
    sections = []
    for row in table.rows:
        jobs = {seed: plan[row.name][seed] for seed in sorted(rows[row.name])}
        files = {seed: workshop.found_genotype(job) for seed, job in jobs.items()}
        found = {seed: load_genotype(file) for seed, file in files.items() if file.is_file()}
        parts = [f'## {row.name}']
        for seed, genotype in found.items():
            picture = target.with_name(f'{target.stem}_{_slug(row.name)}_seed{seed}.png')
            draw_genotype(genotype, picture)
            file = f'[genotype.json](runs/{jobs[seed].name}/{link})'
            parts.append(f'Seed {seed}, {file}\n\n![{row.name}, seed {seed}]({picture.name})')
        parts += [render_layers(found), render_choices(found)] if found else ['Not searched yet.']
        sections.append('\n\n'.join(parts))
    return '\n\n'.join(sections)


def render_layers(found: Found) -> str:
    """Render the operation of each layer with its mixing weight, a line for each head and seed."""
    lines = [
        [str(seed), head, *map(_describe, genotype.of(head))]
        for seed, genotype in found.items()
        for head in genotype.heads
    ]
    width = max(map(len, lines))
    titles = ['seed', 'head', *(f'layer {number}' for number in range(width - 2))]
    table = markdown_table(titles, [line + ['-'] * (width - len(line)) for line in lines])
    note = 'In brackets: the mixing weight, softmax(alpha).'
    if any('tied' in cell for line in lines for cell in line):
        note += ' **tied**: others had the same alpha, and the first in the order of the space won.'
    return f'{table}\n\n{note}'


def render_choices(found: Found) -> str:
    """Render how often each operation is chosen in each head, over all layers and seeds."""
    chosen: dict[str, Counter[str]] = {}
    options: dict[str, None] = {}
    for genotype in found.values():
        for head in genotype.heads:
            for decision in genotype.of(head):
                options |= dict.fromkeys(decision.options)
                chosen.setdefault(head, Counter()).update(decision.chosen)
    lines = [
        [op, *(f'{counts[op]} of {counts.total()}' for counts in chosen.values())] for op in options
    ]
    return f'Over seeds {", ".join(map(str, found))}:\n\n' + markdown_table(
        ['chosen', *chosen], lines
    )


def _describe(decision: Decision) -> str:
    weights = decision.weights
    ops = [f'{op} ({weights[op]:.2f})' if weights else op for op in decision.chosen]
    return ' + '.join(ops) + (', **tied**' if decision.tied else '')


def _slug(name: str) -> str:
    return re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')
