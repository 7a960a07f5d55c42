# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""How alike tasks rank backbones: rank correlations, and how sure they are.

Raw: Spearman's. Partial: for the logarithm of the parameters, which every task may reward. Both
also corrected for attenuation (Spearman, 1904): divided by the root of the reliabilities, as two
tasks that are measured with noise correlate less than what they measure.
"""

from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata
from scipy.stats import t as student

LEAST = 0.2  # reliability that a correlation is corrected by; noise alone gives more now and then
RESAMPLES = 2000
_AT_ONCE = 250  # of them
KINDS = ('raw', 'partial', 'corrected', 'corrected_partial')


class Correlations(NamedTuple):
    """Between T tasks, (..., T, T); NaN where a reliability is below :data:`LEAST`."""

    raw: np.ndarray
    partial: np.ndarray
    corrected: np.ndarray
    corrected_partial: np.ndarray
    reliability: np.ndarray  # of the mean over repetitions, (..., T)


def correlate(values: np.ndarray, sizes: np.ndarray) -> Correlations:
    """Correlate tasks over backbones.

    Args:
        values: Scores, (..., T, n, R); the means over the R repetitions are ranked.
        sizes: Parameters, (..., n), of which only the ranks count.
    """
    tasks = values.shape[-3]
    means = np.concatenate([values.mean(-1), sizes[..., None, :]], axis=-2)
    ranks = rankdata(means, axis=-1)
    ranks -= ranks.mean(-1, keepdims=True)
    whole = ranks @ ranks.swapaxes(-1, -2)
    norm = np.sqrt(np.diagonal(whole, axis1=-2, axis2=-1))
    with np.errstate(divide='ignore', invalid='ignore'):
        whole = _with_ones(whole / (norm[..., :, None] * norm[..., None, :]))
        raw, with_size = whole[..., :tasks, :tasks], whole[..., :tasks, tasks]
        reliability = reliabilities(values)
        root = np.sqrt(np.where(reliability >= LEAST, reliability, np.nan))
        corrected = _with_ones(raw / (root[..., :, None] * root[..., None, :]))
        partial = _less(raw, with_size)
        return Correlations(
            raw, partial, corrected, _less(corrected, with_size / root), reliability
        )


def _less(matrix: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Take out of correlations what goes through one more variable."""
    left = np.sqrt(1 - others**2)
    through = others[..., :, None] * others[..., None, :]
    return _with_ones((matrix - through) / (left[..., :, None] * left[..., None, :]))


def _with_ones(matrix: np.ndarray) -> np.ndarray:
    """Return matrices with ones on their diagonal."""
    return np.where(np.eye(matrix.shape[-1], dtype=bool), 1.0, matrix)


def reliabilities(values: np.ndarray) -> np.ndarray:
    """Return the reliability of the mean over repetitions, (..., T), from (..., T, n, R).

    1 - MSE / MSH of backbones and repetitions crossed (Shrout and Fleiss 1979, ICC(3, k)), of the
    ranks within a repetition, as it is ranks that are correlated.
    """
    ranks = rankdata(values, axis=-2)
    count, again = ranks.shape[-2:]
    by_backbone = ranks.mean(-1, keepdims=True)
    # Ranks have one mean in every repetition.
    rest = ranks - by_backbone
    error = (rest**2).sum((-2, -1)) / ((count - 1) * (again - 1))
    between = again * by_backbone[..., 0].var(-1, ddof=1)
    with np.errstate(divide='ignore', invalid='ignore'):
        return 1 - error / between


def bootstrap(
    values: np.ndarray, sizes: np.ndarray, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, np.ndarray]:
    """Correlate again over backbones drawn with replacement: kind -> (resamples, T, T)."""
    rng = np.random.Generator(np.random.PCG64(seed))
    count = values.shape[1]
    drawn: dict[str, list[np.ndarray]] = {kind: [] for kind in KINDS}
    rows = rng.integers(count, size=(resamples, count))
    for some in np.array_split(rows, -(-resamples // _AT_ONCE)):
        found = correlate(values[:, some].swapaxes(0, 1), sizes[some])
        for kind in KINDS:
            drawn[kind].append(getattr(found, kind))
    return {kind: np.concatenate(matrices) for kind, matrices in drawn.items()}


def interval(drawn: np.ndarray, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Return the limits that a bootstrap gives by its quantiles; what is NaN does not count."""
    tail = (1 - confidence) / 2
    known = np.isfinite(drawn).any(0)
    limits = np.full((2, *drawn.shape[1:]), np.nan)
    limits[:, known] = np.nanquantile(drawn[:, known], [tail, 1 - tail], axis=0)
    return limits[0], limits[1]


def p_values(correlation: np.ndarray, count: int, others: int = 0) -> np.ndarray:
    """Return two-sided p of no rank correlation, by t with ``count - 2 - others`` degrees.

    Args:
        correlation: Of any shape; ``count`` is the number of backbones.
        others: Variables that were taken out.
    """
    free = count - 2 - others
    with np.errstate(divide='ignore', invalid='ignore'):
        statistic = np.abs(correlation) * np.sqrt(free / (1 - correlation**2))
    return 2 * student.sf(statistic, free)


def holm(p: np.ndarray) -> np.ndarray:
    """Correct p-values, (m,), for their number (Holm, 1979)."""
    order = np.argsort(p)
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(1.0, steps)
    return corrected


def pairs(tasks: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and columns of all pairs of tasks, each once: 55 of 11."""
    return np.triu_indices(tasks, 1)
