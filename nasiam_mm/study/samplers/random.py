# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Random search: the baseline of every other sampler."""

from optuna.samplers import RandomSampler

from nasiam_mm.study.samplers.sampler import SAMPLERS, Space


@SAMPLERS.register_module(name='Random')
def random_search(space: Space, seed: int) -> RandomSampler:
    """Optuna's random sampler: every choice uniformly, whatever was measured."""
    return RandomSampler(seed=seed)
