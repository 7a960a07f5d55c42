# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Which choices of a search are within noise.

A choice is undecided where the lead of the lowest weight taken over the highest one left is not
above twice the standard deviation of its change from one recorded epoch to the next, over the
second half of these; where nothing leads; and where that half has fewer than three changes to go
by. That a lead is above it is no proof of merit: weights drift by themselves, and the loss that
they follow may be the wrong one.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nasiam_mm.architecture.choice import Choices
from nasiam_mm.architecture.genotype import Decision

LEAST_CHANGES = 3
_NAMED = 12  # choices that a line names


def undecided(
    history: Mapping[str, Any], choices: Choices, decisions: Mapping[str, Decision]
) -> list[str]:
    """Name the choices that are within noise, in order.

    Args:
        history: Head -> mixing weights at T recorded epochs, (T, L, K), NaN for no candidate.
        choices: Head -> the choices of its L layers.
        decisions: Name of a choice -> what was decided there at the last of the epochs.
    """
    found = []
    for head, layers in choices.items():
        weights = np.asarray(history[head], dtype=np.float64)
        for n, choice in enumerate(layers):
            chosen = decisions[choice.name].chosen
            taken = np.array([option in chosen for option in choice.options])
            if is_within_noise(leads(weights[:, n], taken)):
                found.append(choice.name)
    return found


def leads(weights: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """Lead of the lowest weight taken over the highest one left, (T,); infinite if none is left.

    ``weights`` are (T, K), NaN for what is no candidate; ``taken`` are (K,), bool.
    """
    candidates = ~np.isnan(weights[-1])
    left = candidates & ~taken
    if not left.any():
        return np.full(len(weights), np.inf)
    return weights[:, candidates & taken].min(1) - weights[:, left].max(1)


def is_within_noise(lead: np.ndarray) -> bool:
    """Tell whether the last of the leads at T recorded epochs, (T,), says nothing."""
    if np.isinf(lead[-1]):
        return False
    changes = np.diff(lead[len(lead) // 2 :])
    # In this order: noise of few epochs has no standard deviation.
    return len(changes) < LEAST_CHANGES or bool(lead[-1] <= 2 * changes.std(ddof=1))


def doubt(names: Sequence[str], total: int, epochs: int) -> str:
    """Say in one line what of ``total`` choices is undecided after ``epochs`` records."""
    shown = ', '.join(names[:_NAMED])
    if more := len(names) - _NAMED:
        shown += f' and {more} more' if more > 0 else ''
    if (epochs - 1) - epochs // 2 < LEAST_CHANGES:
        few = f'{epochs} records of alpha are too few to tell {len(names)} of {total} choices'
        return f'{few} from noise: {shown}; search for more epochs before you trust the genotype'
    what = f'{len(names)} of {total} choices are within noise: {shown}'
    return f'{what}; the genotype is close to a random one there'
