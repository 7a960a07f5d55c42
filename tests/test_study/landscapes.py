# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Head spaces whose scores are known, and searches of them."""

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution

from nasiam_mm.study.samplers import build_sampler
from nasiam_mm.study.samplers.sampler import decided

# S-head of a contrastive framework.
OPTIONS = {
    'projector.depth': [1, 2, 3, 4],
    'projector.width_ratio': [0.5, 1, 2, 4],
    'projector.out_channels': [64, 128, 256, 512, 2048],
    'projector.hidden_norm': ['none', 'bn', 'ln'],
    'projector.activation': ['relu', 'gelu', 'silu', 'tanh'],
    'projector.output_norm': ['none', 'bn', 'bn_no_affine'],
    'temperature': [0.05, 0.1, 0.2, 0.5],
}
SPACE = {name: CategoricalDistribution(options) for name, options in OPTIONS.items()}


class Additive:
    """Scores that are a sum over what counts of a head, points, and noise; or noise alone."""

    def __init__(self, seed, noise=0.6, blind=False):
        rng = np.random.default_rng([seed, 1])
        pairs = [(name, option) for name in OPTIONS for option in OPTIONS[name]]
        self.effects = dict(zip(pairs, rng.normal(0, 1, len(pairs)), strict=True))
        self.noise, self.blind = noise, blind
        self.rng = np.random.default_rng([seed, 2])

    def true(self, head):
        return 40 + sum(self.effects[pair] for pair in decided(head))

    def __call__(self, head):
        return (0 if self.blind else self.true(head)) + self.noise * self.rng.standard_normal()


def searched(config, landscape, trials, seed):
    """Search as a worker does, a new sampler for each trial; the study."""
    study = optuna.create_study(direction='maximize')
    for number in range(trials):
        study.sampler = build_sampler(config, SPACE, 1000 * seed + number)
        trial = study.ask(SPACE)
        study.tell(trial, landscape(trial.params))
    return study


def gains(config, trials, repeats, **landscape):
    """True score of the head that scored best, of each of several landscapes, (repeats,)."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    found = []
    for seed in range(repeats):
        here = Additive(seed, **landscape)
        found.append(here.true(searched(config, here, trials, seed).best_trial.params))
    return np.array(found)


def beats(better, base):
    """Whether scores, (repeats,) each on the same landscapes, are larger by two errors or more."""
    more = better - base
    return more.mean() > 2 * more.std(ddof=1) / len(more) ** 0.5


def ties(one, other):
    """Whether they differ by no more than three standard errors."""
    more = one - other
    return abs(more.mean()) < 3 * more.std(ddof=1) / len(more) ** 0.5
