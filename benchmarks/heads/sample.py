# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Heads of a space in which every option, and every pair of options, occurs about equally often."""

from collections.abc import Sequence

import numpy as np
from optuna.distributions import CategoricalDistribution

from nasiam_mm.architecture.choice import Choices
from nasiam_mm.architecture.kinds.kind import Options
from nasiam_mm.study.heads import distributions, head_key

_SWAPS = 10_000  # tried; more of them hardly lower the imbalance


def balanced_heads(choices: Choices, count: int, seed: int) -> list[Options]:
    """Draw heads of a space, no two alike, by swaps that even out how often options meet.

    Each option of a choice occurs ``count / options`` times, to one. Two heads change places in a
    choice where that lowers the summed squared deviation of all two-way tables from equal counts.

    Args:
        choices: Of the space.
        count: Heads.
        seed: Of the draw, which with the space decides it.

    Raises:
        ValueError: If the space, by what of it counts, has too few heads for that.
    """
    space = distributions(choices)
    rng = np.random.Generator(np.random.PCG64(seed))
    levels = [len(found.choices) for found in space.values()]
    table = np.stack([rng.permutation(np.arange(count) % level) for level in levels], 1)
    for _ in range(_SWAPS):
        column = rng.integers(len(levels))
        pair = rng.choice(count, 2, replace=False)
        if table[pair[0], column] == table[pair[1], column]:
            continue
        before = imbalance(table, levels, column)
        table[pair, column] = table[pair[::-1], column]
        if imbalance(table, levels, column) > before:
            table[pair, column] = table[pair[::-1], column]
    heads = [_options(space, row) for row in table]
    # What decides nothing in a head does not tell it from another.
    for _ in range(100 * count):
        keys = [head_key(head, choices) for head in heads]
        twins = [n for n, key in enumerate(keys) if key in keys[:n]]
        if not twins:
            return heads
        one, other, column = twins[0], int(rng.integers(count)), int(rng.integers(len(levels)))
        table[[one, other], column] = table[[other, one], column]
        heads[one], heads[other] = _options(space, table[one]), _options(space, table[other])
    raise ValueError(f'the space does not have {count} heads that differ; draw fewer')


def imbalance(table: np.ndarray, levels: Sequence[int], column: int) -> float:
    """Sum the squared deviations of the two-way tables of one choice with all others.

    Args:
        table: Options by number, (heads, choices).
        levels: Options of each choice.
        column: The choice.
    """
    total = 0.0
    for other, level in enumerate(levels):
        if other != column:
            cells = levels[column] * level
            counts = np.bincount(table[:, column] * level + table[:, other], minlength=cells)
            total += float(((counts - len(table) / cells) ** 2).sum())
    return total


def _options(space: dict[str, CategoricalDistribution], row: np.ndarray) -> Options:
    return {name: found.choices[n] for (name, found), n in zip(space.items(), row, strict=True)}
