# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What a network costs to train, against sums by hand."""

import pytest

from nasiam_mm.models.cost import training_cost
from nasiam_mm.models.frameworks import FRAMEWORKS
from nasiam_mm.registry import MODELS
from tests import small


@pytest.mark.parametrize('name', sorted(FRAMEWORKS))
def test_parameters_are_those_that_are_trained(name):
    config = small.config(name)
    model = MODELS.build(config)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    cost = training_cost(config, 16)
    assert cost.parameters == trained
    assert cost.flops > 0


def _neck(width):
    return dict(type='NonLinearNeck', in_channels=16, hid_channels=width, out_channels=8,
                num_layers=2, with_avg_pool=True, norm_cfg=dict(type='BN1d'))  # fmt: skip


def test_flops_of_a_wider_head_are_those_of_its_products():
    config = small.config('simclr')
    config.pop('space')
    narrow, wide = (training_cost({**config, 'neck': _neck(width)}, 16) for width in (32, 64))
    # Two views, two FLOPs a multiplication, 32 units more of 16 inputs and 8 outputs.
    assert wide.flops - narrow.flops == 2 * 2 * 32 * (16 + 8)


def test_small_views_cost_their_share():
    model = small.config('swav')
    two = training_cost(model, 16).flops
    sides = [dict(size=32)] * 2 + [dict(size=16)] * 4
    model.data_preprocessor = dict(type='TwoViewPreprocessor', mean=[0] * 3, std=[1] * 3)
    assert training_cost(model, 16).flops == two
    model.data_preprocessor.update(views=sides, num_views=6)
    # Two views and four of a quarter of their pixels, which heads and prototypes see as whole ones.
    assert 1.5 * two < training_cost(model, 16).flops < 1.6 * two


def test_images_twice_as_large_cost_four_times_as_much():
    config = small.config('simclr')
    config.pop('space')
    config['neck'] = _neck(32)
    head = 2 * 2 * 32 * (16 + 8) + 2 * 2 * 2 * 2 * 8  # and the similarities of four embeddings
    small_, large = (training_cost(config, size).flops for size in (16, 32))
    assert (large - head) / (small_ - head) == pytest.approx(4, rel=0.01)
