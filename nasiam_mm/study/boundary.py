# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""How small a p-value must be where it is looked at after every seed: c(n_max, k)."""

import math
from functools import lru_cache

import numpy as np
from scipy.special import stdtr, stdtrit

FIRST_LOOK = 3
# One percent of a constant is chance (its standard error); about a second of a core.
_NUMBERS = 12_000_000
_CHUNK = 60_000  # numbers at a time: what a cache holds
_CANDIDATES = (1, 2, 3, 4, 5)
# For alpha 0.05, by the most seeds: 400,000 studies each, rounded to four places.
PUBLISHED = {
    (most, k): c
    for most, row in {
        6: (0.0205, 0.0095, 0.0060, 0.0044, 0.0034),
        8: (0.0160, 0.0072, 0.0045, 0.0033, 0.0026),
        10: (0.0135, 0.0060, 0.0038, 0.0027, 0.0021),
        20: (0.0088, 0.0038, 0.0024, 0.0017, 0.0013),
        30: (0.0072, 0.0031, 0.0019, 0.0014, 0.0011),
    }.items()
    for k, c in zip(_CANDIDATES, row, strict=True)
}


def critical_p(max_seeds: int, candidates: int = 1, alpha: float = 0.05) -> float:
    """Return the p-value below which a look decides, c(n_max, k).

    The one-sided p of a t-test is looked at after each of the seeds 3 to ``max_seeds``; with a
    constant limit c the chance that one of the looks falls below it is ``alpha / candidates``
    where nothing differs (a constant nominal level: Pocock, Biometrika 64, 1977; over candidates
    Bonferroni). Later calls with the same arguments take no time.

    Args:
        max_seeds: Seeds at the last look, fixed before the first, 3 or more.
        candidates: How many are compared with the standard, 1 or more.
        alpha: Chance of a wrong decision over all looks and candidates, one-sided.

    Raises:
        ValueError: If one of these is not usable.
    """
    check_looks(max_seeds, candidates, alpha)
    if max_seeds == FIRST_LOOK:
        return alpha / candidates  # one look
    if alpha == 0.05 and (max_seeds, candidates) in PUBLISHED:
        return PUBLISHED[max_seeds, candidates]
    return simulated_p(max_seeds, alpha / candidates)


def check_looks(max_seeds: int, candidates: int, alpha: float) -> None:
    """Raise ValueError unless :func:`critical_p` takes these."""
    if type(max_seeds) is not int or not FIRST_LOOK <= max_seeds <= 1000:
        raise ValueError(f'max_seeds must be a whole number from 3 to 1000, got {max_seeds!r}')
    if type(candidates) is not int or not 1 <= candidates <= 100:
        raise ValueError(f'candidates must be a whole number from 1 to 100, got {candidates!r}')
    if not isinstance(alpha, float) or not 0.001 <= alpha <= 0.25:
        raise ValueError(f'alpha must be a number from 0.001 to 0.25, got {alpha!r}')


@lru_cache(maxsize=64)
def simulated_p(max_seeds: int, level: float) -> float:
    """Return the ``level``-quantile of the smallest p over the looks, simulated without a drift.

    The numbers are drawn from a fixed seed. Each study counts twice, as it is and with its sign
    turned round.
    """
    rng = np.random.default_rng(20260501)
    studies, chunk = math.ceil(_NUMBERS / max_seeds), math.ceil(_CHUNK / max_seeds)
    looks = np.arange(FIRST_LOOK, max_seeds + 1)[:, None]  # (looks, 1)
    # The quantile lies below the level of a single look, but for chance: p is not needed above.
    at_least = stdtrit(looks - 1, 1 - 1.1 * level)
    smallest = []
    for start in range(0, studies, chunk):
        drawn = rng.standard_normal((max_seeds, min(chunk, studies - start)), dtype=np.float32)
        total = drawn.cumsum(0, dtype=np.float64)[FIRST_LOOK - 1 :]
        squares = np.square(drawn).cumsum(0, dtype=np.float64)[FIRST_LOOK - 1 :]
        t = total * np.sqrt((looks - 1) / (looks * squares - total**2))
        for side in (t, -t):
            columns = np.flatnonzero((side >= at_least).any(0))
            smallest.append(stdtr(looks - 1, -side[:, columns]).min(0))
    ordered = np.sort(np.concatenate(smallest))
    return float(ordered[round(2 * studies * level) - 1])
