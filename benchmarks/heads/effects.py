# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Question 1: which choices of a head matter, by how much, and how sure that is."""

from collections.abc import Mapping, Sequence
from itertools import combinations, product
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import f as fisher

from benchmarks.backbones.correlations import holm
from benchmarks.heads.table import Table

_RESAMPLES = 2000
_OP = 'operation'


class Effect(NamedTuple):
    """Points above the mean of the options of a choice, all else equal, with a 95 % interval."""

    choice: str
    option: str
    heads: int
    value: float
    low: float
    high: float


class Interaction(NamedTuple):
    """Points that two options have together beyond what each has alone, with a 95 % interval."""

    pair: str
    options: tuple[str, str]
    heads: int  # that have both
    value: float
    low: float
    high: float


class Share(NamedTuple):
    """Variance of the heads' means that a choice, or two together, explain beyond all others."""

    choice: str
    share: float  # of the variance, 0 to 1
    p: float  # of F, corrected by Holm within its list


def features(heads: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, np.ndarray]]:
    """Return choice -> option -> how much of it a head has, (heads,).

    An option of a choice is 0 or 1, and 0 for all of a choice that does not count in a head. An
    operation is the share of the hidden layers that it takes, whichever they are.
    """
    found: dict[str, dict[str, np.ndarray]] = {}
    for number, head in enumerate(heads):
        ops = [option for name, option in head.items() if name.endswith('.op')]
        told = [(name, option, 1.0) for name, option in head.items() if not name.endswith('.op')]
        told += [(_OP, op, 1 / len(ops)) for op in ops]
        for choice, option, amount in told:
            column = found.setdefault(choice, {}).setdefault(str(option), np.zeros(len(heads)))
            column[number] += amount
    return {choice: dict(sorted(of.items(), key=_order)) for choice, of in found.items()}


def _order(item: tuple[str, Any]) -> tuple[float, str]:
    """Numbers by size, then words."""
    try:
        return float(item[0]), ''
    except ValueError:
        return float('inf'), item[0]


def effects(
    table: Table, of: str = 'knn_test', seed: int = 0, resamples: int = _RESAMPLES
) -> list[Effect]:
    """Estimate all main effects at once by least squares; intervals resample heads and seeds.

    Heads and seeds are drawn with replacement, each on its own (Owen 2007, the pigeonhole
    bootstrap, which errs to the wide side); an option that a draw misses is left out of it.
    """
    scores = table.scores(of)
    columns = features(table.decided)
    names = [(choice, option) for choice, options in columns.items() for option in options]
    matrix = np.stack([columns[choice][option] for choice, option in names], 1)
    value = _fit(matrix, scores.mean(1), names)
    rng = np.random.Generator(np.random.PCG64(seed))
    drawn = np.empty((resamples, len(names)))
    for row in drawn:
        heads = rng.integers(len(scores), size=len(scores))
        seeds = rng.integers(scores.shape[1], size=scores.shape[1])
        row[:] = _fit(matrix[heads], scores[np.ix_(heads, seeds)].mean(1), names)
    low, high = np.nanquantile(drawn, [0.025, 0.975], axis=0)
    return [
        Effect(*name, int((matrix[:, n] > 0).sum()), value[n], low[n], high[n])
        for n, name in enumerate(names)
    ]


def interactions(
    table: Table, of: str = 'knn_test', strongest: int = 5, seed: int = 0, resamples: int = 500
) -> list[Interaction]:
    """Estimate what options of the pairs that explain most have together; as :func:`effects`.

    A pair is fitted beside all main effects, so that its cells sum to 0 over the options of
    either choice; a cell that a draw of heads misses is left out of that draw.

    Args:
        table: Of heads.
        of: Score of a row.
        strongest: Pairs, by :func:`shares`.
        seed: Of the resampling.
        resamples: Made, of heads and seeds.
    """
    scores = table.scores(of)
    columns = features(table.decided)
    stacked = {choice: np.stack(list(options.values()), 1) for choice, options in columns.items()}
    main = np.column_stack([np.ones(len(scores)), *(_coded(column) for column in stacked.values())])
    rng = np.random.Generator(np.random.PCG64(seed))
    draws = [[rng.integers(n, size=n) for n in scores.shape] for _ in range(resamples)]
    found = []
    for share in shares(table, of)[1][:strongest]:
        one, two = share.choice.split(' x ')
        cells = _products(stacked[one], stacked[two])
        wide = stacked[one].shape[1], stacked[two].shape[1]
        design = np.column_stack([main, _products(_coded(stacked[one]), _coded(stacked[two]))])
        drawn = np.array([
            _cells(design[heads], scores[np.ix_(heads, seeds)].mean(1), cells[heads], wide)
            for heads, seeds in draws
        ])  # fmt: skip
        value = _cells(design, scores.mean(1), cells, wide)
        counts = (cells > 0).sum(0)
        for n, options in enumerate(product(columns[one], columns[two])):
            if counts[n]:
                low, high = np.nanquantile(drawn[:, n], [0.025, 0.975])
                found.append(
                    Interaction(share.choice, options, int(counts[n]), value[n], low, high)
                )
    return found


def _cells(
    design: np.ndarray, scores: np.ndarray, cells: np.ndarray, wide: tuple[int, int]
) -> np.ndarray:
    """Fit a design whose last columns are the coded products of a pair: every cell's effect."""
    inner = [count - 1 for count in wide]
    weights = np.linalg.lstsq(design, scores, rcond=None)[0][-inner[0] * inner[1] :]
    whole = [np.vstack([np.eye(count), -np.ones(count)]) for count in inner]
    effects = (whole[0] @ weights.reshape(inner) @ whole[1].T).ravel()
    return np.where((cells != 0).any(0), effects, np.nan)


def _fit(matrix: np.ndarray, scores: np.ndarray, names: Sequence[tuple[str, str]]) -> np.ndarray:
    """Fit effects that sum to 0 within a choice, over those options that are there; NaN others."""
    there = (matrix != 0).any(0)
    choices = np.array([choice for choice, _ in names])
    places = [np.flatnonzero((choices == choice) & there) for choice in dict.fromkeys(choices)]
    coded = [_coded(matrix[:, of]) for of in places]
    weights = np.linalg.lstsq(np.column_stack([np.ones(len(scores)), *coded]), scores, rcond=None)
    effects, given = np.full(len(names), np.nan), weights[0][1:]
    for of in places:
        own, given = given[: len(of) - 1], given[len(of) - 1 :]
        effects[of] = [*own, -own.sum()]
    return effects


def _coded(column: np.ndarray) -> np.ndarray:
    """Code the options of a choice, (heads, options), by effects that sum to 0.

    The last option is minus the sum of the others, and a head without the choice has 0 of all:
    raw columns would add up to which heads have it, and take that from the choice that decides it.
    """
    return column[:, :-1] - column[:, -1:]


def shares(table: Table, of: str = 'knn_test') -> tuple[list[Share], list[Share]]:
    """Return what each choice explains beyond the others, and each pair beyond main effects."""
    scores = table.scores(of).mean(1)
    columns = {
        choice: _coded(np.stack(list(options.values()), 1))
        for choice, options in features(table.decided).items()
    }
    main = [
        (choice, [other for name, other in columns.items() if name != choice], [column])
        for choice, column in columns.items()
    ]
    pairs = [
        (f'{one} x {two}', list(columns.values()), [_products(columns[one], columns[two])])
        for one, two in combinations(columns, 2)
    ]
    return _tested(main, scores), _tested(pairs, scores)


def _tested(cases: Sequence[tuple[str, list, list]], scores: np.ndarray) -> list[Share]:
    total = float(((scores - scores.mean()) ** 2).sum())
    found = []
    for name, others, added in cases:
        before, free_before = _residual([*others], scores)
        after, free = _residual([*others, *added], scores)
        steps = free_before - free
        p = 1.0
        if steps and free and after:
            p = float(fisher.sf((before - after) / steps / (after / free), steps, free))
        found.append(Share(name, (before - after) / total, p))
    return corrected(found)


def _residual(columns: list[np.ndarray], scores: np.ndarray) -> tuple[float, int]:
    design = np.column_stack([np.ones(len(scores)), *columns])
    weights, _, rank, _ = np.linalg.lstsq(design, scores, rcond=None)
    return float(((scores - design @ weights) ** 2).sum()), len(scores) - int(rank)


def _products(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    return (one[:, :, None] * two[:, None, :]).reshape(len(one), -1)


def corrected(found: Sequence[Share]) -> list[Share]:
    """Correct p-values for their number (Holm 1979), the largest share first."""
    every = holm(np.array([share.p for share in found]))
    shares = [share._replace(p=float(p)) for share, p in zip(found, every, strict=True)]
    return sorted(shares, key=lambda share: -share.share)
