# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Rows of runs as a Markdown table: mean and deviation over seeds, tests, the papers' figures."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.papers.execution import Workshop
from benchmarks.papers.planning import Job
from benchmarks.papers.rows import read_row
from benchmarks.papers.significance import Comparison, compare, mean_and_deviation
from benchmarks.papers.spec import Row, Table
from nasiam_mm.probes.sweep import format_figure

# Row name -> seed -> the row of its run.
Rows = dict[str, dict[int, dict[str, Any]]]
# Seed -> figure.
Figures = dict[int, float]


def read_rows(plan: Mapping[str, Mapping[int, Job]], workshop: Workshop) -> Rows:
    """Read what is measured of a plan."""
    found: Rows = {}
    for name, runs in plan.items():
        rows = {seed: read_row(workshop.of(job), job.digest) for seed, job in runs.items()}
        found[name] = {seed: row for seed, row in rows.items() if row is not None}
    return found


def metric_of(table: Table, row: Row, rows: Rows, metric: str) -> Figures:
    """Return the figures of a line by seed; of a line with members, their means by seed.

    A seed for which a member is not measured has no mean.
    """
    if not row.members:
        measured = rows.get(row.name, {})
        return {s: r['metrics'][metric] for s, r in measured.items() if metric in r['metrics']}
    by_name = {other.name: other for other in table.rows}
    members = [metric_of(table, by_name[name], rows, metric) for name in row.members]
    seeds = set.intersection(*(set(member) for member in members))
    return {seed: statistics.fmean(member[seed] for member in members) for seed in sorted(seeds)}


def render_table(
    table: Table, rows: Rows, seeds: Sequence[int], command: str, more: str = ''
) -> str:
    """Render a table as Markdown, runs that are not there as such.

    Args:
        table: The table.
        rows: What is measured.
        seeds: Seeds asked for.
        command: Command that makes the table.
        more: Markdown that stands before the list of runs, such as pictures.
    """
    first = next(iter(table.columns))
    compared = any(row.against for row in table.rows)
    head = ['row', 'n', *table.columns.values()]
    head += [f'difference in {table.columns[first]}'] if compared else []
    head += [table.paper] if table.paper else []
    figures = {row.name: metric_of(table, row, rows, first) for row in table.rows}
    lines = []
    for row in table.rows:
        cells = [row.name, str(len(figures[row.name]))]
        for metric in table.columns:
            cells.append(_cell(metric_of(table, row, rows, metric)))
        if row.members:
            cells[0] += _spread([figures[name] for name in row.members])
        if compared:
            cells.append('; '.join(_against(figures, row, other) for other in row.against) or '-')
        if table.paper:
            cells.append(row.paper or '-')
        lines.append(cells)
    parts = [
        f'# {table.title}',
        markdown_table(head, lines),
        _explain(table, seeds, compared),
        *table.notes,
        _label_curve(table, rows),
        _environments(table, rows),
        f'Made by `{command}`.',
        more,
        '## Runs',
        _runs(table, rows, first),
    ]
    return '\n\n'.join(part for part in parts if part) + '\n'


def _cell(values: Figures) -> str:
    if not values:
        return 'not measured'
    return format_figure(*mean_and_deviation(list(values.values())))


def _spread(members: Sequence[Figures]) -> str:
    """Name the range of the members' means."""
    means = [statistics.fmean(member.values()) for member in members if member]
    return f' ({min(means):.2f} to {max(means):.2f})' if means else ''


def _against(figures: Mapping[str, Figures], row: Row, other: str) -> str:
    if not figures[row.name] or not figures[other]:
        return f'{other}: not measured'
    return f'{other}: {_describe(compare(figures[row.name], figures[other]))}'


def _describe(comparison: Comparison) -> str:
    tests = [
        f'{name} p = {p_value:.3f}' if p_value >= 0.001 else f'{name} p < 0.001'
        for name, p_value in (('paired', comparison.paired), ('Welch', comparison.welch))
        if p_value is not None
    ]
    return f'{comparison.difference:+.2f} ({", ".join(tests) or comparison.note})'


def _explain(table: Table, seeds: Sequence[int], compared: bool) -> str:
    text = (
        f'Seeds {", ".join(map(str, seeds))}; figures are means over them with the sample '
        'standard deviation. '
    )
    if table.genotypes:
        text += 'Nothing is measured on test images.'
    elif table.detection:
        text += 'Measured on the validation images, once, by the last weights; they select nothing.'
    else:
        text += 'Measured on the test images, every setting selected on validation images.'
    if table.features:
        text += ' "cached": a linear probe on features without augmentation.'
    if compared:
        text += (
            ' p-values: two-sided t-tests, paired by seed and by Welch, of one comparison each, '
            'not corrected for their number.'
        )
    return text


def _label_curve(table: Table, rows: Rows) -> str:
    """Render the accuracy over the fraction of labels of the table's first row."""
    runs = rows.get(table.rows[0].name, {})
    if len(table.fractions) <= 2 or not runs:
        return ''
    lines = []
    for fraction in table.fractions:
        cells = [f'{100 * fraction:g} %']
        for metric in ('knn_test_top1', 'linear_test_top1'):
            means = [
                found[metric]['mean']
                for run in runs.values()
                for found in run['few_labels']
                if found['fraction'] == fraction and metric in found
            ]
            cells.append(format_figure(*mean_and_deviation(means)) if means else 'not measured')
        lines.append(cells)
    title = f'Few labels, "{table.rows[0].name}" (balanced classes; deviation over seeds of runs)'
    return f'{title}\n\n' + markdown_table(['labels', 'kNN top-1', 'linear top-1 (cached)'], lines)


def _environments(table: Table, rows: Rows) -> str:
    """Say where the runs were made; differences between them are told."""
    runs = [run for by_seed in rows.values() for run in by_seed.values()]
    if not runs:
        return 'Nothing is measured yet.'
    devices = sorted({run['device'] for run in runs})
    versions: dict[str, set[str]] = {}
    for run in runs:
        for name, version in run['versions'].items():
            versions.setdefault(name, set()).add(version)
    stated = ', '.join(f'{name} {" and ".join(sorted(v))}' for name, v in versions.items())
    several = any(len(v) > 1 for v in versions.values()) or len(devices) > 1
    warning = ' **Not all runs were made with the same.**' if several else ''
    # A run may stand in several rows.
    each = {run['run']: run for run in runs}.values()
    hours = sum(sum(run['wall_seconds'].values()) for run in each) / 3600
    cpu = sum(sum(run['process_seconds'].values()) for run in each) / 3600
    counted = 'searches' if table.genotypes else 'runs, searches left out'
    return (
        f'Device: {"; ".join(devices)}. {stated}.{warning} {len(each)} {counted}: '
        f'{hours:.2f} hours on the clock, {cpu:.2f} of processes.'
    )


def _runs(table: Table, rows: Rows, metric: str) -> str:
    lines = []
    for row in table.rows:
        for seed, run in sorted(rows.get(row.name, {}).items()):
            figure = run['metrics'].get(metric)
            folder = f'runs/{run["run"]}'
            files = {'log': run['log'], 'row': 'row.json'}
            files |= {Path(name).stem: name for name in run.get('measure_logs', {})}
            evidence = [f'[{name}]({folder}/{file})' for name, file in files.items()]
            lines.append(
                [
                    row.name,
                    str(seed),
                    '-' if figure is None else f'{figure:.2f}',
                    run['config_sha256'][:10],
                    f'{sum(run["wall_seconds"].values()):.0f}',
                    f'{sum(run["process_seconds"].values()):.0f}',
                    ', '.join(evidence),
                ]
            )
    head = ['row', 'seed', table.columns[metric], 'config', 'wall s', 'process s', 'evidence']
    return markdown_table(head, lines) if lines else 'None.'


def markdown_table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Render cells as a table in Markdown."""
    rows = [head, ['---'] * len(head), *lines]
    return '\n'.join('| ' + ' | '.join(cells) + ' |' for cells in rows)


def curves_of(table: Table, rows: Rows, workshop: Path) -> dict[str, dict[int, list[Any]]]:
    """Read the losses of each row and seed over the epochs, for the drawing."""
    import json

    curves: dict[str, dict[int, list[Any]]] = {}
    for row in table.rows:
        for seed, run in rows.get(row.name, {}).items():
            log = (workshop / run['run'] / run['log']).read_text(encoding='utf-8')
            by_epoch: dict[int, list[float]] = {}
            for entry in map(json.loads, log.splitlines()):
                if 'loss' in entry:
                    by_epoch.setdefault(entry['epoch'], []).append(entry['loss'])
            points = [(epoch, statistics.fmean(v)) for epoch, v in sorted(by_epoch.items())]
            curves.setdefault(row.name, {})[seed] = points
    return curves
