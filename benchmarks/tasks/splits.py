# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Three splits of a task, whose test parts are disjoint: their figures err each on its own."""

from typing import NamedTuple

import numpy as np

from benchmarks.tasks.task import Pool, generator

SPLITS = 3
_CELLS = 2 * SPLITS  # two of them are a test part, one a validation part


class Split(NamedTuple):
    """Row numbers of a pool, int64, sorted; the parts are disjoint."""

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray


def split_pool(pool: Pool, seed: int) -> list[Split]:
    """Cut a pool three times into a half to train on, a sixth to choose on, a third to test on.

    Every image is tested on once. Cells are dealt class by class, and whole regions to a cell;
    where regions hold several classes each, region by region.

    Raises:
        ValueError: If a class, or the pool, has too few regions for that.
    """
    regions = np.arange(len(pool.labels)) if pool.regions is None else pool.regions
    names, first, of = np.unique(regions, return_index=True, return_inverse=True)
    mixed = bool((pool.labels != pool.labels[first][of]).any())
    strata = np.zeros(len(names), int) if mixed else pool.labels[first]
    rng = generator(seed, 'splits')
    cells = np.empty(len(names), int)
    for stratum in np.unique(strata):
        own = rng.permutation(np.flatnonzero(strata == stratum))
        if len(own) < _CELLS:
            what = 'regions' if mixed else f'images or regions of class {stratum}'
            raise ValueError(f'{len(own)} {what} are too few for {SPLITS} splits; give {_CELLS}')
        # Begun anywhere, so that what is left over does not all go to the first cells.
        cells[own] = (np.arange(len(own)) + rng.integers(_CELLS)) % _CELLS
    place = cells[of]
    found = []
    for number in range(SPLITS):
        test, val = (2 * number, 2 * number + 1), (2 * number + 2) % _CELLS
        parts = np.isin(place, test), place == val
        found.append(Split(*map(np.flatnonzero, (~(parts[0] | parts[1]), *parts[::-1]))))
    return found
