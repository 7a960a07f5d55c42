# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Which backbone wins a task, and what is lost by choosing it by another task."""

from typing import NamedTuple

import numpy as np

from benchmarks.backbones.scores import Scores


class Winner(NamedTuple):
    """The backbone with the best mean on a task."""

    task: str
    name: str
    parameters: int
    score: float  # percent, of what won; the figure of a winner is too high by chance
    margin: float  # points before the next
    first: int  # repetitions in which it is the first alone
    repetitions: int


class Loss(NamedTuple):
    """Points lost on a task by a backbone that another task chose, on a repetition unseen."""

    task: str
    lost: float  # mean over the repetitions
    error: float  # its standard error over them
    place: float  # mean place of what was chosen, 1 for the best
    random: float  # points that a backbone drawn at random loses


def winners(scores: Scores) -> list[Winner]:
    """Return the winner of each task."""
    found = []
    for task, values, means in zip(scores.tasks, scores.values, scores.means, strict=True):
        best, second = np.argsort(-means, kind='stable')[:2]
        others = np.delete(values, best, 0)
        found.append(
            Winner(
                task,
                scores.names[best],
                int(scores.parameters[best]),
                float(means[best]),
                float(means[best] - means[second]),
                int((values[best] > others.max(0)).sum()),
                values.shape[1],
            )
        )
    return found


def losses(scores: Scores, by: str = 'cifar10') -> list[Loss]:
    """Return what it costs to choose by one task, for each of the others.

    Both backbones, that of the task itself and that of ``by``, are chosen on all repetitions but
    one and compared on that one, so that neither profits from the noise that it won by.

    Raises:
        ValueError: If ``by`` is no task of the study.
    """
    if by not in scores.tasks:
        raise ValueError(f"there is no task '{by}' in the rows; there are {list(scores.tasks)}")
    again = scores.values.shape[2]
    guide = scores.values[list(scores.tasks).index(by)]
    found = []
    for task, values in zip(scores.tasks, scores.values, strict=True):
        if task == by:
            continue
        lost, places, random = [], [], []
        for turn in range(again):
            rest = [n for n in range(again) if n != turn]
            own, other = (int(of[:, rest].mean(1).argmax()) for of in (values, guide))
            held = values[:, turn]
            lost.append(held[own] - held[other])
            places.append(1 + (held > held[other]).sum() + ((held == held[other]).sum() - 1) / 2)
            random.append(held[own] - held.mean())
        error = np.std(lost, ddof=1) / np.sqrt(again) if again > 1 else np.nan
        found.append(
            Loss(
                task, *(float(x) for x in (np.mean(lost), error, np.mean(places), np.mean(random)))
            )
        )
    return found
