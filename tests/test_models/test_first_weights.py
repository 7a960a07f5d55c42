# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""First weights are a function of the seed and the part alone (contract C16): runs can be paired.

A backbone starts the same under every head and in every framework; so does a head of one name.
"""

from itertools import combinations

import pytest
import torch

from nasiam_mm.architecture.choice import op_choices
from nasiam_mm.architecture.genotype import random_genotype, save_genotype
from nasiam_mm.models.frameworks import FRAMEWORKS
from nasiam_mm.registry import MODELS
from tests.small import SPACE, config, searched_shapes


def first(cfg, seed=0, drawn=0):
    """Build and initialise in a run of a seed that has drawn some numbers before."""
    torch.manual_seed(seed)
    torch.randn(drawn)
    model = MODELS.build(cfg)
    torch.randn(drawn)
    model.init_weights()
    return model


def same(one, other):
    one, other = one.state_dict(), other.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def genotype_of(cfg, path, seed=0):
    choices = {name: op_choices(name, SPACE, s) for name, s in searched_shapes(cfg).items()}
    save_genotype(random_genotype(cfg.type, choices, seed), path)
    return str(path)


@pytest.fixture
def variants(tmp_path):
    """Config of every framework, searched, of two genotypes, and with heads of mmpretrain."""
    found = {}
    for name in FRAMEWORKS:
        found[name] = config(name)
        for seed in (0, 1):
            path = genotype_of(config(name), tmp_path / f'{name}{seed}.json', seed)
            found[f'{name} of genotype {seed}'] = config(name, genotype=path)
        neck = dict(type='MoCoV2Neck', in_channels=64, hid_channels=48, out_channels=32)
        searches = {} if 'predictor' in (config(name).get('head') or {}) else {'space': None}
        found[f'{name} with a standard head'] = config(name, neck=neck, **searches)
    return found


def test_the_backbone_starts_the_same_under_every_head_and_framework(variants):
    models = {name: first(cfg) for name, cfg in variants.items()}
    models['after other draws'] = first(variants['byol'], drawn=7)
    reference = models.pop('simsiam').backbone
    for name, model in models.items():
        assert same(model.backbone, reference), name
        for average, online in model.momentum_pairs():
            assert same(average.module, online), name
    assert not torch.equal(
        first(variants['simsiam'], seed=1).backbone.conv1.weight, reference.conv1.weight
    )


def test_heads_of_one_name_start_the_same_and_of_two_do_not():
    models = {name: first(config(name), drawn=n) for n, name in enumerate(FRAMEWORKS)}
    for one, other in combinations(models.values(), 2):
        assert same(one.neck.cell, other.neck.cell)
    simsiam = models['simsiam']
    renamed = config('simsiam')
    renamed.neck.name = 'another'
    another = first(renamed)
    key = 'cell.layers.0.ops.linear_bn_relu.0.weight'
    assert same(another.head, simsiam.head)
    weights = [m.neck.state_dict()[key] for m in (simsiam, another, first(config('simsiam'), 1))]
    assert not any(torch.equal(a, b) for a, b in combinations(weights, 2))


def test_a_model_draws_nothing_of_the_run_s_own_numbers():
    torch.manual_seed(0)
    model = MODELS.build(config('simsiam'))
    state = torch.get_rng_state()
    model.init_weights()
    assert torch.equal(torch.get_rng_state(), state)
