# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Question 2: which figure of a run ranks heads as the accuracy on test images does."""

from collections.abc import Sequence
from itertools import permutations
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

from benchmarks.heads.table import Table

RESAMPLES = 2000
# Figure of a row -> sign that makes more of it better.
OBJECTIVES = {
    'knn_val': 1, 'linear_val': 1, 'rankme': 1, 'lidar': 1, 'alpha_req': -1, 'alignment': -1,
    'uniformity': -1, 'contrast': -1, 'loss': -1, 'std_z': 1, 'rank_z': 1,
}  # fmt: skip


class Ranking(NamedTuple):
    """Spearman's correlation of a figure with a test score, 95 % interval over heads and seeds."""

    objective: str
    epoch: int  # at which the figure was taken, from 1
    value: float
    low: float
    high: float


def rankings(
    table: Table, target: str = 'knn_test', epochs: Sequence[int] | None = None, seed: int = 0
) -> list[Ranking]:
    """Correlate each objective, of one seed, with the last test score of the *other* seeds.

    So that what a seed does to both is no agreement; the mean over all ordered pairs of seeds. A
    figure is turned so that more is better: alpha-ReQ by its distance from 1 (``AlphaReQ``), where
    the sign is of this distance. Intervals resample heads and pairs of seeds.

    Args:
        table: Heads by seeds.
        target: Test score of a row.
        epochs: After which the figure is taken, from 1; the last alone for None.
        seed: Of the resampling.
    """
    last = len(table.rows[table.heads[0]][table.seeds[0]][target])
    goal = table.scores(target)
    pairs = np.array(list(permutations(range(len(table.seeds)), 2)))
    rng = np.random.Generator(np.random.PCG64(seed))
    draws = [
        (rng.integers(len(goal), size=len(goal)), rng.integers(len(pairs), size=len(pairs)))
        for _ in range(RESAMPLES)
    ]
    found = []
    for epoch in epochs or [last]:
        for name, sign in OBJECTIVES.items():
            figure = table.scores(name, epoch - 1)
            if name == 'alpha_req':
                figure = np.abs(figure - 1)
            figure = sign * figure
            value = _mean_rank(figure, goal, pairs)
            drawn = [_mean_rank(figure[h], goal[h], pairs[p]) for h, p in draws]
            low, high = np.nanquantile(drawn, [0.025, 0.975])
            found.append(Ranking(name, epoch, value, float(low), float(high)))
    return found


def _mean_rank(figure: np.ndarray, goal: np.ndarray, pairs: np.ndarray) -> float:
    ranks, targets = rankdata(figure, axis=0), rankdata(goal, axis=0)
    each = [spearman(ranks[:, one], targets[:, other]) for one, other in pairs]
    return float(np.mean(each))


def spearman(one: np.ndarray, other: np.ndarray) -> float:
    """Return Pearson's correlation of two columns of ranks; NaN for a constant one."""
    one, other = one - one.mean(), other - other.mean()
    size = np.sqrt((one**2).sum() * (other**2).sum())
    return float((one * other).sum() / size) if size else float('nan')


def within(table: Table, choice: str) -> list[Table]:
    """Cut a table by the options of a choice, as a loss compares at one temperature alone."""
    options = sorted({head.get(choice) for head in table.decided}, key=str)
    parts = []
    for option in options:
        kept = [n for n, head in enumerate(table.decided) if head.get(choice) == option]
        heads = [table.heads[n] for n in kept]
        parts.append(Table(heads, table.seeds, [table.decided[n] for n in kept], table.rows))
    return parts
