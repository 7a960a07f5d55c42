# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What a benchmark measured: samples of each side, ratios of two, and both as Markdown."""

import math
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


# Repetitions of what lies so near its target that fewer do not tell on which side of it.
NEAR, ENOUGH = 0.1, 15


def median_interval(samples: Sequence[float]) -> tuple[float, float]:
    """Return two of the samples between which their distribution's median lies, in 95 % of cases.

    Whatever the distribution (order statistics, binomial); of fewer than six the range, whose share
    of cases is smaller.
    """
    ordered, count = sorted(samples), len(samples)
    outside, low = 0.5**count, 0
    # Beyond the k-th from each end: at most k samples of a fair coin's n, on both sides.
    while outside + (step := math.comb(count, low + 1) * 0.5**count) <= 0.025:
        outside, low = outside + step, low + 1
    return ordered[low], ordered[count - 1 - low]


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

    @property
    def bound(self) -> float | None:
        """The target, if there is one."""
        return self.at_least if self.at_least is not None else self.at_most

    def verdict(self, samples: Sequence[float]) -> str:
        """Say whether the target is met, missed, or undecided: within the median's interval."""
        if self.bound is None:
            return ''
        sign = '>=' if self.at_least is not None else '<='
        low, high = median_interval(samples)
        worst, best = (low, high) if sign == '>=' else (high, low)
        meets = [end >= self.bound if sign == '>=' else end <= self.bound for end in (worst, best)]
        told = 'met' if all(meets) else 'undecided' if any(meets) else 'missed'
        return f'{sign} {self.bound:g}: {told}'


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

    def is_near(self) -> bool:
        """Tell whether a ratio lies so near its target that it takes more repetitions."""
        for ratio in self.ratios:
            samples = self.samples_of(ratio)
            if ratio.bound is not None and samples:
                distance = abs(statistics.median(samples) - ratio.bound)
                if distance <= NEAR * abs(ratio.bound):
                    return True
        return False

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
                {
                    **asdict(ratio),
                    **asdict(spread),
                    'interval': median_interval(samples),
                    'target': ratio.verdict(samples),
                }
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
        interval = ' to '.join(map(_number, median_interval(samples)))
        verdict = ratio.verdict(samples) or '-'
        lines.append([ratio.name, *cells, f'{interval} (n {len(samples)})', verdict])
    if lines:
        head = ['ratio', 'median', 'min', 'max', '95 % of the median', 'target']
        parts.append(table(head, lines))
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
