# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Regularized evolution (`Real et al.`_, algorithm 1).

.. _Real et al.: https://arxiv.org/abs/1802.01548
"""

from collections.abc import Sequence

import numpy as np

from nasiam_mm.study.samplers.sampler import SAMPLERS, Head, HeadSampler, Measured, Space
from nasiam_mm.study.settings import whole


@SAMPLERS.register_module()
class Evolution(HeadSampler):
    """The best of a few of the youngest heads, one choice of it changed.

    The population is the heads measured last, so that every one dies of age, however good; pruned
    and infeasible ones live in it, and win a tournament only where no other takes part. Running
    trials have no part in it. The change counts: a choice that decides nothing is not mutated.

    Args:
        space: What there is to choose from.
        seed: Of the trial.
        population: Heads alive, P; as many are drawn at random first. The paper has 100 for 20,000
            trainings.
        tournament: Heads drawn with replacement, of which the best is the parent, S; in the paper
            a quarter of the population, which is slow where there are 40 trainings.
    """

    def __init__(self, space: Space, seed: int, population: int = 12, tournament: int = 6) -> None:
        super().__init__(space, seed)
        self.population = whole('Evolution', 'population', population, 2)
        self.tournament = whole('Evolution', 'tournament', tournament, 1, population)

    def propose(
        self, measured: Sequence[Measured], running: Sequence[Head], rng: np.random.Generator
    ) -> Head:
        """Return the child of a tournament, a random head at first."""
        alive = measured[-self.population :]
        if len(alive) < self.population:
            return self.draw(rng)
        drawn = [alive[place] for place in rng.integers(len(alive), size=self.tournament)]
        # The younger one of equals.
        parent = max(drawn, key=lambda trial: (trial.rank, trial.number))
        return self.mutate(parent.head, rng)
