# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What a benchmark measured: samples of each side, ratios of two, and both as Markdown."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Spread:
    """Smallest, middle and largest of some samples."""

    minimum: float
    median: float
    maximum: float

    @classmethod
    def of(cls, samples: Sequence[float]) -> 'Spread':
        """Return the spread of at least one sample."""
        return cls(min(samples), statistics.median(samples), max(samples))


@dataclass
class Side:
    """One contestant of a measurement.

    Attributes:
        samples: One figure per repetition, in the unit of the measurement.
        gflop: FLOPs of what was timed, 1e9 per image; None where not counted.
        note: What a reader must know of it.
    """

    samples: list[float] = field(default_factory=list)
    gflop: float | None = None
    note: str = ''


@dataclass(frozen=True)
class Ratio:
    """One side over another, or over a constant, and the bound it is held against.

    Attributes:
        name: What is compared.
        numerator: Name of a side.
        denominator: Name of a side, or a constant in the unit of the measurement.
        at_least: Smallest ratio that meets the target, if there is one.
        at_most: Largest ratio that meets the target, if there is one.
    """

    name: str
    numerator: str
    denominator: str | float
    at_least: float | None = None
    at_most: float | None = None

    def verdict(self, median: float) -> str:
        """Say whether a median meets the target; empty where there is none."""
        if self.at_least is None and self.at_most is None:
            return ''
        sign, bound = ('>=', self.at_least) if self.at_least is not None else ('<=', self.at_most)
        is_met = median >= bound if sign == '>=' else median <= bound
        return f'{sign} {bound:g}: {"met" if is_met else "missed"}'


@dataclass
class Measurement:
    """Sides measured in turn, and what became of those that could not be.

    Attributes:
        name: What was measured.
        unit: Unit of every sample.
        sides: Contestants by name, in the order of their turns.
        ratios: Comparisons of them.
        not_run: Name of a side, or of the whole item -> why.
    """

    name: str
    unit: str
    sides: dict[str, Side] = field(default_factory=dict)
    ratios: list[Ratio] = field(default_factory=list)
    not_run: dict[str, str] = field(default_factory=dict)

    def samples_of(self, ratio: Ratio) -> list[float]:
        """Return a ratio's value per repetition, [] where a side was not measured.

        The two samples of a repetition were taken one right after the other, so
        that a drift of the machine's speed cancels.
        """
        above = self.sides.get(ratio.numerator, Side()).samples
        if isinstance(ratio.denominator, str):
            below = self.sides.get(ratio.denominator, Side()).samples
        else:
            below = [ratio.denominator] * len(above)
        return [a / b for a, b in zip(above, below, strict=False)]

    def as_dict(self) -> dict[str, Any]:
        """Return everything for JSON: raw samples, their spreads, ratios and verdicts."""
        data = asdict(self)
        for name, side in self.sides.items():
            data['sides'][name]['spread'] = asdict(Spread.of(side.samples))
        data['ratios'] = []
        for ratio in self.ratios:
            samples = self.samples_of(ratio)
            if not samples:
                continue
            spread = Spread.of(samples)
            data['ratios'].append(
                {**asdict(ratio), **asdict(spread), 'target': ratio.verdict(spread.median)}
            )
        return data


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
