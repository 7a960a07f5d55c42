# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Searched backbones against hand-made and random ones of equal size."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import t as student

from benchmarks.backbones.scores import Row, scores_of

WITHIN = 0.1  # of the parameters
SEARCHED, RANDOM, HAND_MADE = 'searched', 'random', 'hand-made'


class Compared(NamedTuple):
    """A searched backbone against its equals of a kind, on a task or on the mean of all."""

    backbone: str
    kind: str
    task: str  # '' for the mean over tasks
    equals: int
    difference: float  # points above their mean
    low: float  # 95 % of what one more of that kind would differ by chance; NaN for one alone
    high: float
    place: int  # 1 where it is better than all of them


def equals_of(rows: Sequence[Row], name: str, kind: str, within: float = WITHIN) -> list[str]:
    """Name the backbones of a kind whose parameters differ by at most a share.

    Raises:
        ValueError: If there is no such backbone as ``name``.
    """
    sizes = {row['backbone']: row['parameters'] for row in rows}
    if name not in sizes:
        raise ValueError(f"there is no backbone '{name}' in the rows; there are {list(sizes)}")
    of_kind = dict.fromkeys(row['backbone'] for row in rows if row['kind'] == kind)
    return [n for n in of_kind if n != name and abs(sizes[n] - sizes[name]) <= within * sizes[name]]


def compare(
    rows: Sequence[Row], classifier: str = 'linear', within: float = WITHIN
) -> list[Compared]:
    """Compare every searched backbone with those of equal size, by kind and task.

    The interval is around 0: where equals differ among each other by as much, a search has shown
    nothing (t of n - 1 degrees, n equals, one more drawn).

    Args:
        rows: Of ``rows.jsonl``.
        classifier: Whose figures.
        within: Share by which parameters may differ.
    """
    scores = scores_of(rows, classifier)
    number = {name: n for n, name in enumerate(scores.names)}
    table = {'': scores.means.mean(0)} | dict(zip(scores.tasks, scores.means, strict=True))
    searched = dict.fromkeys(row['backbone'] for row in rows if row['kind'] == SEARCHED)
    found = []
    for name in filter(number.__contains__, searched):
        for kind in (HAND_MADE, RANDOM):
            equals = [n for n in equals_of(rows, name, kind, within) if n in number]
            if not equals:
                continue
            for task, means in table.items():
                own, theirs = means[number[name]], means[[number[n] for n in equals]]
                found.append(
                    Compared(
                        name,
                        kind,
                        task,
                        len(equals),
                        float(own - theirs.mean()),
                        *_by_chance(theirs),
                        1 + int((theirs >= own).sum()),
                    )
                )
    return found


def _by_chance(theirs: np.ndarray) -> tuple[float, float]:
    if (count := len(theirs)) < 2:
        return float('nan'), float('nan')
    half = student.ppf(0.975, count - 1) * theirs.std(ddof=1) * np.sqrt(1 + 1 / count)
    return -float(half), float(half)
