# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Question 2: which figure of a run ranks heads as the accuracy on test images does."""

from collections.abc import Sequence
from itertools import permutations
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

from benchmarks.heads.table import Table

_RESAMPLES = 2000
# Figure of a row -> sign that makes more of it better.
OBJECTIVES = {
    'knn_val': 1, 'linear_val': 1, 'rankme': 1, 'lidar': 1, 'alpha_req': -1, 'alignment': -1,
    'uniformity': -1, 'contrast': -1, 'loss': -1, 'std_z': 1, 'rank_z': 1,
}  # fmt: skip


class Ranking(NamedTuple):
    """Spearman's correlation of a figure with a test score, 95 % interval over heads and seeds.

    That of the test score itself is about what any figure can reach: the seeds' noise bounds it.
    """

    objective: str
    epoch: int  # at which the figure was taken, from 1
    value: float
    low: float
    high: float


def rankings(
    tables: Sequence[Table],
    target: str = 'knn_test',
    epochs: Sequence[int] | None = None,
    objectives: Sequence[str] | None = None,
    seed: int = 0,
    resamples: int = _RESAMPLES,
) -> list[Ranking]:
    """Correlate each objective, of one seed, with the last test score of the *other* seeds.

    So that what a seed does to both is no agreement; the mean over all ordered pairs of seeds. A
    figure is turned so that more is better: alpha-ReQ by its distance from 1 (``AlphaReQ``), where
    the sign is of this distance. Intervals resample heads, of each table its own, and pairs of
    seeds.

    Args:
        tables: Heads by the same seeds; the correlation is the mean over them, as where a loss
            compares within a temperature alone.
        target: Test score of a row.
        epochs: After which the figure is taken, from 1; the last alone for None.
        objectives: Which; all, and the test score itself, for None.
        seed: Of the resampling.
        resamples: Made.
    """
    first = tables[0]
    last = len(first.rows[first.heads[0]][first.seeds[0]][target])
    names = objectives or (*OBJECTIVES, target)
    cases = [(name, epoch) for epoch in epochs or [last] for name in names]
    parts = [
        (np.stack([_turned(of, name, epoch) for name, epoch in cases], 1), of.scores(target))
        for of in tables
    ]
    pairs = np.array(list(permutations(range(len(first.seeds)), 2)))
    rng = np.random.Generator(np.random.PCG64(seed))
    values = np.mean([_mean_ranks(figures, goal, pairs) for figures, goal in parts], 0)
    drawn = np.empty((resamples, len(cases)))
    for row in drawn:
        taken = pairs[rng.integers(len(pairs), size=len(pairs))]
        heads = [rng.integers(len(goal), size=len(goal)) for _, goal in parts]
        row[:] = np.mean(
            [_mean_ranks(f[of], g[of], taken) for of, (f, g) in zip(heads, parts, strict=True)], 0
        )
    low, high = np.nanquantile(drawn, [0.025, 0.975], axis=0)
    return [
        Ranking(*case, float(values[n]), float(low[n]), float(high[n]))
        for n, case in enumerate(cases)
    ]


def _turned(table: Table, name: str, epoch: int) -> np.ndarray:
    figure = table.scores(name, epoch - 1)
    return OBJECTIVES.get(name, 1) * (np.abs(figure - 1) if name == 'alpha_req' else figure)


def _mean_ranks(figures: np.ndarray, goal: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Correlate (heads, K, seeds) with (heads, seeds) by ranks: the mean over pairs, (K,)."""
    correlations = np.einsum('hks,ht->kst', standard_ranks(figures), standard_ranks(goal))
    return correlations[:, pairs[:, 0], pairs[:, 1]].mean(1)


def standard_ranks(values: np.ndarray) -> np.ndarray:
    """Rank along the first axis, less the mean, by the norm; NaN where all are equal."""
    ranks = rankdata(values, axis=0) - (len(values) + 1) / 2
    norm = np.sqrt((ranks**2).sum(0))
    return np.divide(ranks, norm, out=np.full(ranks.shape, np.nan), where=norm > 0)


def within(table: Table, choice: str) -> list[Table]:
    """Cut a table by the options of a choice, as a loss compares at one temperature alone."""
    options = sorted({head.get(choice) for head in table.decided}, key=str)
    parts = []
    for option in options:
        kept = [n for n, head in enumerate(table.decided) if head.get(choice) == option]
        heads = [table.heads[n] for n in kept]
        parts.append(Table(heads, table.seeds, [table.decided[n] for n in kept], table.rows))
    return parts
