# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""How many trainings of a budget search, and how many check what was found."""

from typing import NamedTuple


class Budget(NamedTuple):
    """Trainings of a study; what they add up to is its budget."""

    trials: int
    rerank: int
    rerank_seeds: int
    verify: int
    max_seeds: int

    @property
    def total(self) -> int:
        """All trainings there can be, the standard head's among them."""
        return self.trials + self.rerank * self.rerank_seeds + (self.verify + 1) * self.max_seeds


LEAST = 8  # the standard head and another one, and three seeds of both


def split_budget(trainings: int) -> Budget:
    """Deal out a budget: about 60 % to the search where there is enough.

    With 60 and more, heads are ranked again before the comparison; with 120 it takes two.

    Raises:
        ValueError: If it is too small for one head beside the standard one, and their comparison.
    """
    if type(trainings) is not int or trainings < LEAST:
        what = f'study.budget must be an integer from {LEAST}, got {trainings!r}'
        why = 'the standard head and another one, and both on three seeds'
        raise ValueError(f'{what}: {why}')
    if trainings >= 120:
        check = Budget(0, 8, 2, 2, 8)
    elif trainings >= 60:
        check = Budget(0, 5, 2, 1, 6)
    else:
        check = Budget(0, 0, 2, 1, max(3, min(6, trainings // 5)))
    return check._replace(trials=trainings - check.total)
