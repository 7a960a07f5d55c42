# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Samplers of studies propose backbones: of the space, built at once, better than by chance."""

import numpy as np
import optuna
import pytest

from nasiam_mm.architecture.points import genotype_at
from nasiam_mm.models.backbones.handing import backbone_choices
from nasiam_mm.registry import MODELS
from nasiam_mm.study.heads import distributions, head_key, random_options, told_head
from nasiam_mm.study.samplers import build_sampler
from tests.backbones import CELLS, RESNET

SPACES = {
    'resnet': dict(type='ChoiceResNet', space=RESNET, base_channels=8),
    'cells': dict(type='ChoiceCells', space=CELLS, blocks=(1, 1), base_channels=4, nodes=2),
}


def additive(space, seed):
    """A score that is a sum over the choices of what each option is worth."""
    rng = np.random.default_rng(seed)
    worth = {name: dict.fromkeys(d.choices, 0.0) for name, d in space.items()}
    for row in worth.values():
        row.update(zip(row, rng.normal(size=len(row)), strict=True))
    return lambda options: sum(worth[name][option] for name, option in options.items())


@pytest.mark.parametrize('kind', ['Random', 'TPE', 'Evolution', 'Comparator'])
@pytest.mark.parametrize('name', SPACES)
def test_a_sampler_proposes_backbones_that_are_built(name, kind):
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    choices = backbone_choices(SPACES[name])
    space = distributions(choices)
    score = additive(space, 1)
    study = optuna.create_study(
        direction='maximize', sampler=build_sampler(dict(type=kind), space, 0)
    )
    for _ in range(24):
        trial = study.ask(space)
        study.tell(trial, score(trial.params))
    if kind != 'Random':
        drawn = [score(random_options(choices, seed)) for seed in range(200)]
        later = [trial.value for trial in study.trials[14:]]
        assert np.mean(later) > np.mean(drawn)
    options = study.best_trial.params
    genotype = genotype_at('SimCLR', choices, options)
    assert set(genotype.decisions) == set(space)
    net = MODELS.build({**SPACES[name], 'genotype': genotype})
    assert not net.is_searched and len(head_key(options, choices)) == 10
    assert told_head(options, choices).startswith({'cells': 'normal: ', 'resnet': 'backbone'}[name])
