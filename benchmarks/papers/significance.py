# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Figures over seeds: mean, deviation, and whether a difference may be chance."""

import statistics
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType


@dataclass(frozen=True)
class Comparison:
    """One row of a table against another.

    Attributes:
        difference: Mean of the first less mean of the second.
        welch: Two-sided p-value of Welch's t-test, or None.
        paired: Two-sided p-value of the t-test paired by seed, or None.
        note: Why there is no test, where there is none.
    """

    difference: float
    welch: float | None = None
    paired: float | None = None
    note: str = ''


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float | None]:
    """Return the mean and the sample deviation (divisor n - 1), which one value has not."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


def compare(first: Mapping[int, float], second: Mapping[int, float]) -> Comparison:
    """Test whether two rows differ, from their figures by seed.

    Welch's t-test takes the rows as independent and assumes no equal variances
    (B. L. Welch, Biometrika 34, 1947). The paired one is made where both rows
    have the same seeds: a seed fixes images, their order and their views for
    both, and only the differences count.

    Args:
        first: Seed -> figure.
        second: Seed -> figure.

    Returns:
        The comparison. Its p-values are those of this one comparison, not
        corrected for how many a table makes.

    Raises:
        ValueError: If a row has no figure.
        ModuleNotFoundError: If scipy is not installed.
    """
    if not first or not second:
        raise ValueError('compare: each row needs at least one figure')
    left, right = list(first.values()), list(second.values())
    difference = statistics.fmean(left) - statistics.fmean(right)
    smallest = min(len(left), len(right))
    if smallest < 2:
        return Comparison(difference, note=f'n={smallest}, no test')
    welch = paired = None
    with warnings.catch_warnings():
        # scipy warns where one of two rows has no deviation, which Welch's test allows.
        warnings.filterwarnings('ignore', 'Precision loss', RuntimeWarning)
        # A statistic without any has no distribution.
        if statistics.pvariance(left) + statistics.pvariance(right) > 0:
            welch = float(_stats().ttest_ind(left, right, equal_var=False).pvalue)
        if first.keys() == second.keys():
            differences = [first[seed] - second[seed] for seed in first]
            if statistics.pvariance(differences) > 0:
                paired = float(_stats().ttest_1samp(differences, 0.0).pvalue)
    note = 'no deviation, no test' if welch is None and paired is None else ''
    return Comparison(difference, welch, paired, note)


def _stats() -> ModuleType:
    try:
        import scipy.stats
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            'scipy is not installed and the test of significance needs it; pip install scipy'
        ) from error
    return scipy.stats
