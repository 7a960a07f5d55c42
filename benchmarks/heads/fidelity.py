# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Question 3: which cheaper training ranks heads as a dear one does."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from benchmarks.heads.objectives import standard_ranks
from benchmarks.heads.scales import SCALES
from benchmarks.heads.table import is_drawn, shared_seeds

DEAR = 'dear'
_LEAST = 4  # heads that a rank correlation is told of
_RESAMPLES = 2000


class Fidelity(NamedTuple):
    """Spearman's correlation of a cheaper score with the dear one, 95 % interval over heads."""

    scale: str
    epoch: int  # after which the score was taken, from 1
    heads: int
    seeds: int
    seconds: float  # of CPU until then, a run
    value: float
    low: float
    high: float


def fidelities(
    rows: Sequence[Mapping[str, Any]],
    framework: str,
    target: str = 'knn_test',
    seed: int = 0,
    resamples: int = _RESAMPLES,
) -> list[Fidelity]:
    """Rank the heads that were trained at ``DEAR`` by each cheaper setting, cheapest first.

    Scores of both are means over the seeds that most dear heads have; a setting is a scale and
    the epochs of its schedule that are waited for. Empty where fewer than four heads are shared.

    Args:
        rows: Of the table.
        framework: Whose rows count.
        target: Figure of a row that is compared, at both.
        seed: Of the resampling.
        resamples: Made.
    """
    runs: dict[str, dict[str, dict[int, Mapping[str, Any]]]] = {}
    for row in rows:
        if row['framework'] == framework and is_drawn(row['head']):
            runs.setdefault(row['scale'], {}).setdefault(row['head'], {})[row['seed']] = row
    dear = runs.pop(DEAR, {})
    seeds = shared_seeds(dear.values())
    found = []
    for scale, cheap in runs.items():
        heads = sorted(head for head in dear if {*seeds} <= {*dear[head]} & {*cheap.get(head, ())})
        if len(heads) < _LEAST:
            continue
        goal = np.array([np.mean([dear[h][s][target][-1] for s in seeds]) for h in heads])
        curves = np.array([np.mean([cheap[h][s][target] for s in seeds], 0) for h in heads])
        spent = np.mean([cheap[h][s]['seconds'] for h in heads for s in seeds])
        values, low, high = _ranked(curves, goal, seed, resamples)
        for epoch in range(1, curves.shape[1] + 1):
            seconds = float(spent * epoch / SCALES[scale].epochs)
            told = (values[epoch - 1], low[epoch - 1], high[epoch - 1])
            found.append(Fidelity(scale, epoch, len(heads), len(seeds), seconds, *map(float, told)))
    return sorted(found, key=lambda of: of.seconds)


def _ranked(
    curves: np.ndarray, goal: np.ndarray, seed: int, resamples: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Correlate (heads, epochs) with (heads,) by ranks: values and limits, (epochs,) each."""
    rng = np.random.Generator(np.random.PCG64(seed))
    drawn = []
    for _ in range(resamples):
        heads = rng.integers(len(goal), size=len(goal))
        drawn.append(standard_ranks(goal[heads]) @ standard_ranks(curves[heads]))
    low, high = np.nanquantile(np.array(drawn), [0.025, 0.975], axis=0)
    return standard_ranks(goal) @ standard_ranks(curves), low, high
