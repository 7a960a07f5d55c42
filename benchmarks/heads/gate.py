# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Whether a scale tells heads apart, before a table is made at it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import f as fisher
from scipy.stats import spearmanr

from benchmarks.heads.table import shared_seeds

_SCORES = 'knn_test', 'linear_test'
LEAST = 0.7  # reliability of the mean over seeds that a table needs


class Reliability(NamedTuple):
    """Share of the variance of means over seeds that is between heads, with its 95 % interval."""

    value: float
    low: float
    high: float


class Gate(NamedTuple):
    """What a scale's first heads say of it."""

    heads: int
    seeds: int
    spread: float  # standard deviation of the heads' means, points
    noise: float  # of one run about its head and its seed, points
    reliability: Reliability
    linear: Reliability  # by the linear probe
    learned: tuple[float, float, float, float]  # mean kNN and linear, first and last epoch
    correlation: float | None  # Spearman's with the dear runs of the same heads
    shared: int  # heads that those have
    seconds: float  # of CPU, a run


def reliability(scores: np.ndarray) -> Reliability:
    """Return 1 - MSE / MSH of heads and seeds crossed, (heads, seeds).

    MSH is the mean square of heads, MSE that of what neither head nor seed explains, as heads are
    compared on the same seeds; the interval is that of F (Shrout and Fleiss 1979, ICC(3, k)).

    Raises:
        ValueError: For fewer than two heads or seeds.
    """
    between, error = mean_squares(scores)
    heads, seeds = scores.shape
    free = (heads - 1) * (seeds - 1)
    ratio = between / error if error else np.inf
    low = ratio / fisher.ppf(0.975, heads - 1, free)
    high = ratio / fisher.ppf(0.025, heads - 1, free)
    return Reliability(*(1 - 1 / value if value else -np.inf for value in (ratio, low, high)))


def mean_squares(scores: np.ndarray) -> tuple[float, float]:
    """Return the mean squares of heads, and of what neither head nor seed explains.

    Raises:
        ValueError: For fewer than two heads or seeds.
    """
    heads, seeds = scores.shape
    if min(heads, seeds) < 2:
        raise ValueError(f'reliability needs two heads and two seeds, got {heads} and {seeds}')
    by_head, by_seed = scores.mean(1, keepdims=True), scores.mean(0, keepdims=True)
    rest = scores - by_head - by_seed + scores.mean()
    free = (heads - 1) * (seeds - 1)
    return seeds * float(by_head.var(ddof=1)), float((rest**2).sum()) / free


def crossed(
    rows: Sequence[Mapping[str, Any]], of: str = 'knn_test'
) -> tuple[list[str], np.ndarray]:
    """Return the heads that have all shared seeds, and their last figures, (heads, seeds)."""
    found: dict[str, dict[int, float]] = {}
    for row in rows:
        found.setdefault(row['head'], {})[row['seed']] = row[of][-1]
    seeds = shared_seeds(found.values())
    whole = {head: [of[s] for s in seeds] for head, of in found.items() if {*seeds} <= {*of}}
    return list(whole), np.array(list(whole.values()))


def gate(rows: Sequence[Mapping[str, Any]], dear: Mapping[str, float] = {}) -> Gate:
    """Judge a scale by the rows of some heads.

    Args:
        rows: Of one framework and scale.
        dear: Mean accuracy of heads, by name, where they were trained at length before.
    """
    heads, scores = crossed(rows)
    means = dict(zip(heads, scores.mean(1), strict=True))
    shared = [head for head in heads if head in dear]
    ranks = None
    if len(shared) > 2:
        ranks = float(spearmanr([means[h] for h in shared], [dear[h] for h in shared])[0])
    return Gate(
        heads=len(heads),
        seeds=scores.shape[1],
        spread=float(scores.mean(1).std(ddof=1)),
        noise=float(np.sqrt(mean_squares(scores)[1])),
        reliability=reliability(scores),
        linear=reliability(crossed(rows, 'linear_test')[1]),
        learned=means_of(rows),
        correlation=ranks,
        shared=len(shared),
        seconds=float(np.mean([row['seconds'] for row in rows])),
    )


def means_of(rows: Sequence[Mapping[str, Any]]) -> tuple[float, float, float, float]:
    """Return mean kNN on test images after the first and the last epoch, and linear likewise."""
    curves = [[row[of][at] for row in rows] for of in _SCORES for at in (0, -1)]
    return tuple(float(np.mean(curve)) for curve in curves)  # type: ignore[return-value]


def committed_runs(folder: Path, framework: str) -> list[dict[str, Any]]:
    """Return the rows of ``docs/results/heads_demo``, 32 pixels, but for those of searches."""
    files = sorted(folder.glob(f'runs/{framework}_*/row.json'))
    rows = [json.loads(file.read_text(encoding='utf-8')) for file in files]
    return [row for row in rows if row.get('head') and 'knn_fixed_test' in row['metrics']]


def committed_scores(folder: Path, framework: str) -> dict[str, float]:
    """Return the mean kNN of those heads on test images, by name."""
    found: dict[str, list[float]] = {}
    for row in committed_runs(folder, framework):
        found.setdefault(row['head'], []).append(row['metrics']['knn_fixed_test'])
    return {head: float(np.mean(scores)) for head, scores in found.items()}


def loss_ranks(folder: Path, framework: str) -> tuple[float, int]:
    """Return Spearman of their last loss with that kNN, and how many runs they are."""
    metrics = [row['metrics'] for row in committed_runs(folder, framework)]
    pairs = [[of['loss'], of['knn_fixed_test']] for of in metrics]
    return float(spearmanr(np.array(pairs))[0]), len(pairs)
