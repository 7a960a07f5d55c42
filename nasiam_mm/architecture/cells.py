# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Edges of the cells of a backbone: which go into a node, and drawn ones as they are derived."""

import random
from collections.abc import Sequence
from itertools import compress

from nasiam_mm.architecture.choice import Choice

CELLS = 'normal', 'reduction'
NO_EDGE = 'none'


def edges_into(count: int) -> list[range]:
    """Return the edges into each node: two into the first, one more into each next one."""
    found: list[range] = []
    first = 0
    while first < count:
        found.append(range(first, first + 2 + len(found)))
        first = found[-1].stop
    return found


def is_cell(choices: Sequence[Choice]) -> bool:
    """Whether choices are those of the edges of a cell that edges can be taken away from."""
    named = [choice.name.split('.') for choice in choices]
    are_edges = all(name[0] in CELLS and name[-1] == 'op' for name in named)
    return bool(choices) and are_edges and NO_EDGE in choices[0].options


def draw_cell(choices: Sequence[Choice], edges: int, rng: random.Random) -> list[str]:
    """Draw the operation of every edge so that a node keeps some: of which edges, by chance too.

    Args:
        choices: Of the edges of a cell.
        edges: That a node keeps, of those with an operation beside ``'none'``.
        rng: All chance comes from it.
    """
    taken = [NO_EDGE] * len(choices)
    for into in edges_into(len(choices)):
        real = {n: [o for o in compress(choices[n].options, choices[n].present) if o != NO_EDGE]
                for n in into}  # fmt: skip
        able = [n for n in into if real[n]]
        for n in sorted(rng.sample(able, min(edges, len(able)))):
            taken[n] = rng.choice(real[n])
    return taken
