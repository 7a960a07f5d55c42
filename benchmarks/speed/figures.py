# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What a benchmark measured: samples of each side, their spread, ratios of two sides."""

import statistics
from collections.abc import Sequence
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
