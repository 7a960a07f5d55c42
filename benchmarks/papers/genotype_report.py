# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Genotypes that a table's rows searched: drawings, layers, how often each operation is chosen."""

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from benchmarks.papers.execution import Workshop
from benchmarks.papers.planning import Job
from benchmarks.papers.report import Rows, markdown_table
from benchmarks.papers.spec import Table
from nasiam_mm.architecture.genotype import Genotype, LayerGenotype
from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.report.pictures.genotype_drawing import draw_genotype

# Seed -> what its search found.
Found = Mapping[int, Genotype]


def draw_genotypes(
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
    """Render the operation of each layer with its mixing weight, a line for each cell and seed."""
    lines = [
        [str(seed), name, *(_describe(layer) for layer in cell.layers)]
        for seed, genotype in found.items()
        for name, cell in genotype.cells.items()
    ]
    width = max(map(len, lines))
    head = ['seed', 'cell', *(f'layer {number}' for number in range(width - 2))]
    table = markdown_table(head, [line + ['-'] * (width - len(line)) for line in lines])
    note = 'In brackets: the mixing weight, softmax(alpha).'
    if any('tied' in cell for line in lines for cell in line):
        note += ' **tied**: others had the same alpha, and the first in the order of the space won.'
    return f'{table}\n\n{note}'


def render_choices(found: Found) -> str:
    """Render how often each operation is chosen in each cell, over all layers and seeds."""
    chosen: dict[str, Counter[str]] = {}
    for genotype in found.values():
        for name, cell in genotype.cells.items():
            chosen.setdefault(name, Counter()).update(op for ops in cell.ops for op in ops)
    space = [op for genotype in found.values() for op in genotype.space]
    # What coincides at an output layer has a name of its own there, such as linear.
    names = dict.fromkeys([*space, *(op for counts in chosen.values() for op in counts)])
    lines = [
        [op, *(f'{counts[op]} of {counts.total()}' for counts in chosen.values())] for op in names
    ]
    head = ['chosen', *chosen]
    return f'Over seeds {", ".join(map(str, found))}:\n\n' + markdown_table(head, lines)


def _describe(layer: LayerGenotype) -> str:
    weights = dict(zip(layer.candidates, layer.softmax, strict=False))
    ops = [f'{op} ({weights[op]:.2f})' if weights else op for op in layer.ops]
    return ' + '.join(ops) + (', **tied**' if layer.tied else '')


def _slug(name: str) -> str:
    return re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')
