# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What the differences of a candidate tell by a look, and what more seeds would tell."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.special import nctdtr, stdtr, stdtrit

from nasiam_mm.study.differences import Difference

FORETELLS_FROM = 5  # seeds: before, a number of seeds to come is not worth printing
_SPARE = 0.84  # standard errors: decides in 80 % of studies
MOST_FORETOLD = 100  # seeds that are foretold
_FOR_EVER = 1e9


class Limits(NamedTuple):
    """What p must be below, to use a head and to keep the standard one; the margin, points."""

    use: float
    keep: float
    margin: float
    max_seeds: int


@dataclass(frozen=True)
class Compared:
    """A candidate beside the standard head; what cannot be told yet is NaN.

    Attributes:
        name: Of the candidate.
        n: Seeds compared.
        collapsed: Seeds on which it collapsed.
        mean: Mean difference, points.
        se: Its standard error, points: of seeds and, where correctness was given, of images.
        df: Degrees of freedom of that.
        p: One-sided, small where the difference is above 0.
        p_margin: One-sided, small where the difference is below the margin.
        interval: Simultaneous over looks and candidates, points; of 90 % at alpha 0.05.
        shrunken: ``mean * max(0, 1 - 1 / t^2)``, t the mean by its standard error, points: a study
            that stops at a good look has too large a mean.
        power: Chance that a true gain of the margin is seen by the last seed, at this spread.
        more_seeds: About how many more would decide about it alone; None where that is not known.
    """

    name: str
    n: int
    collapsed: int = 0
    mean: float = math.nan
    se: float = math.nan
    df: float = math.nan
    p: float = math.nan
    p_margin: float = math.nan
    interval: tuple[float, float] = (math.nan, math.nan)
    shrunken: float = math.nan
    power: float = math.nan
    more_seeds: int | None = None

    @property
    def lower(self) -> float:
        """Lower limit of the gain, points."""
        return self.interval[0]


def compare(name: str, found: Difference, limits: Limits, collapsed: int = 0) -> Compared:
    """Judge one candidate by three seeds or more, whose differences are not all the same."""
    variance, df = (float(x) for x in found.of_mean(found.n))
    se, mean = math.sqrt(variance), found.mean
    half = float(stdtrit(df, 1 - limits.use)) * se
    p, p_margin = (float(stdtr(df, -gain / se)) for gain in (mean, limits.margin - mean))
    undecided = found.n >= FORETELLS_FROM and p > limits.use and p_margin > limits.keep
    return Compared(
        name=name,
        n=found.n,
        collapsed=collapsed,
        mean=mean,
        se=se,
        df=df,
        p=p,
        p_margin=p_margin,
        interval=(mean - half, mean + half),
        shrunken=mean * max(0.0, 1 - variance / mean**2) if mean else 0.0,
        power=_power(found, limits),
        more_seeds=more_seeds([found], [True], limits) if undecided else None,
    )


def _power(found: Difference, limits: Limits) -> float:
    variance, df = (float(x) for x in found.of_mean(limits.max_seeds))
    at_least = float(stdtrit(df, 1 - limits.use))
    chance = 1 - float(nctdtr(df, limits.margin / math.sqrt(variance), at_least))
    return min(max(chance, 0.0), 1.0)  # NaN where scipy's series does not reach


def more_seeds(found: Sequence[Difference], allowed: Sequence[bool], limits: Limits) -> int | None:
    """Return about how many more seeds would decide, at the means and spreads found.

    The smallest N at which some allowed candidate would be used or the standard kept, each with
    0.84 standard errors to spare. None where 100 seeds would not, or before there are 5.
    """
    n = found[0].n
    if n < FORETELLS_FROM:
        return None
    numbers = np.arange(n + 1, MOST_FORETOLD + 1)
    decides = _decides(found, allowed, limits, numbers)
    return int(numbers[decides.argmax()]) - n if decides.any() else None


def wants_images(found: Sequence[Difference], allowed: Sequence[bool], limits: Limits) -> bool:
    """Whether no number of seeds would decide: images leave the mean too uncertain.

    They can only where ``(c_use + c_keep) sqrt(V_img) > margin``, c the limits as quantiles of the
    normal distribution; there the mean found decides.
    """
    wide = math.sqrt(max(d.image_variance for d in found))
    quantiles = -stdtrit(_FOR_EVER, [limits.use, limits.keep])
    if found[0].n < FORETELLS_FROM or quantiles.sum() * wide <= limits.margin:
        return False
    return not _decides(found, allowed, limits, np.array([_FOR_EVER])).any()


def _decides(
    found: Sequence[Difference], allowed: Sequence[bool], limits: Limits, seeds: Any
) -> np.ndarray:
    """Whether so many seeds would decide with some to spare, (M,)."""
    uses, keeps = np.zeros(len(seeds), bool), np.ones(len(seeds), bool)
    for d, may in zip(found, allowed, strict=True):
        variance, df = d.of_mean(seeds)
        se = np.sqrt(variance)
        uses |= may & (d.mean / se >= stdtrit(df, 1 - limits.use) + _SPARE)
        keeps &= (limits.margin - d.mean) / se >= stdtrit(df, 1 - limits.keep) + _SPARE
    return uses | keeps
