# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Measurements as Markdown, which reads as plain text too."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.speed.figures import Measurement, Spread


def render(measurement: Measurement) -> str:
    """Render a measurement: its sides, their ratios, what was not run and why."""
    parts = [f'### {measurement.name}']
    if measurement.sides:
        counted = any(side.gflop is not None for side in measurement.sides.values())
        head = ['side', 'median', 'min', 'max', 'unit', *(['GFLOP/image'] if counted else [])]
        lines = []
        for name, side in measurement.sides.items():
            spread = Spread.of(side.samples)
            cells = [f'{name} ({side.note})' if side.note else name]
            cells += [_number(v) for v in (spread.median, spread.minimum, spread.maximum)]
            cells.append(measurement.unit)
            if counted:
                cells.append('-' if side.gflop is None else f'{side.gflop:.3f}')
            lines.append(cells)
        parts.append(table(head, lines))
    lines = []
    for ratio in measurement.ratios:
        samples = measurement.samples_of(ratio)
        if not samples:
            continue
        spread = Spread.of(samples)
        cells = [_number(v) for v in (spread.median, spread.minimum, spread.maximum)]
        lines.append([ratio.name, *cells, ratio.verdict(spread.median) or '-'])
    if lines:
        parts.append(table(['ratio', 'median', 'min', 'max', 'target'], lines))
    parts += [f'- {name}: not run: {why}' for name, why in measurement.not_run.items()]
    return '\n\n'.join(parts)


def render_all(measurements: Sequence[Measurement], about: Mapping[str, Any], command: str) -> str:
    """Render a whole run: where it was measured, how, and what came of it."""
    facts = '\n'.join(f'- {name}: {value}' for name, value in about.items())
    parts = ['# Speed', f'`{command}`', facts, *map(render, measurements)]
    return '\n\n'.join(parts) + '\n'


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Lay out a Markdown table in columns of equal width."""
    rows = [list(head), *map(list, lines)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    rows.insert(1, ['-' * width for width in widths])
    cells = ([cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows)
    return '\n'.join('| ' + ' | '.join(row) + ' |' for row in cells)


def _number(value: float) -> str:
    """Four significant digits, and no exponent."""
    return f'{value:.4g}' if abs(value) < 1000 else f'{value:.0f}'
