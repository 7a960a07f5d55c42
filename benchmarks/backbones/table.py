# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The study of backbones as a table: `nasiam table backbones`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import ROOT
from benchmarks.backbones.candidates import Backbone
from benchmarks.backbones.rows import line_of, read_rows, write_rows
from benchmarks.backbones.sample import read_sample
from benchmarks.papers.catalogue import TABLES
from benchmarks.papers.edits import put
from benchmarks.papers.spec import Recipe, Row, Table

FOLDER = Path(__file__).parent
TASKS = (
    'cifar10', 'animal_vehicle', 'rotation', 'corruption', 'digits', 'faces', 'textures',
    'silhouettes', 'glyph_character', 'glyph_font', 'shape_count',
)  # fmt: skip


@TABLES.register_module(name='backbones')
def backbones(scale: str) -> Table:
    """Backbones drawn by size, 24 or 116, on eleven tasks (seed 002's study)."""
    return study('Backbones under self-supervision', FOLDER / f'samples/{scale}.json', scale)


@TABLES.register_module(name='searched_backbones')
def searched_backbones(scale: str) -> Table:
    """Searched backbones against hand-made and random ones of equal size."""
    title, sample = 'Searched backbones', FOLDER / f'samples/searched_{scale}.json'
    if sample.is_file():
        return study(title, sample, scale)
    # Of searches, whose genotypes do not come with the code.
    made = f'`python -m benchmarks.backbones equals --out {sample.relative_to(ROOT)}`'
    told = f'# {title}\n\nThere is no sample yet: {made} draws it.\n'
    columns = {f'{task}/linear': task for task in TASKS}
    return Table(title, (), columns, features=False, render=lambda *_: told)


def study(title: str, sample: Path, scale: str, tasks: Sequence[str] = TASKS) -> Table:
    """Return the table of a sample: every backbone by the one budget of a scale, on all tasks.

    Raises:
        FileNotFoundError: If there is no such sample.
        ValueError: If it is none.
    """
    found = {backbone.name: backbone for backbone in read_sample(sample)}
    recipe = str(FOLDER / f'recipes/backbones_{scale}.py')

    def render(
        runs: Mapping[str, Mapping[int, Any]], seeds: Sequence[int], command: str, target: Path
    ) -> str:
        rows = [line_of(found[name], run) for name, of in runs.items() for run in of.values()]
        return write_study(title, rows, len(found) * len(seeds), command, target)

    return Table(
        title,
        tuple(Row(name, trained(recipe, backbone)) for name, backbone in found.items()),
        {f'{task}/linear': task for task in tasks},
        features=False,
        tasks=tuple(tasks),
        render=render,
    )


def trained(recipe: str, backbone: Backbone) -> Recipe:
    """Return what trains a backbone."""
    edits = (
        put('model.backbone', dict(backbone.config)),
        put('model.neck.in_channels', backbone.features),
    )
    return Recipe(recipe, edits)


def write_study(
    title: str, rows: Sequence[Mapping[str, Any]], wanted: int, command: str, target: Path
) -> str:
    """Write the rows beside a page, and return the page that they alone make."""
    from benchmarks.backbones.page import render_page

    file = target.with_name(f'{target.stem}_rows.jsonl')
    write_rows(rows, file)
    told = f'Made by `{command}`, {len(rows)} of {wanted} runs; rows: [{file.name}]({file.name}).'
    head = f'# {title}\n\n{told}\n\n'
    return head + (render_page(read_rows(file)) if rows else 'Nothing is measured yet.\n')
