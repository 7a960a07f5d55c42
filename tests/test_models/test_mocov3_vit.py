# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""MoCo v3's transformer: what is fixed stays, from before weights are drawn; alpha's step is exact.

The contracts of test_contracts.py, which stand on a ResNet, hold over it too.
"""

import contextlib
import copy
from math import cos, sin

import pytest
import torch
from mmengine.logging import MessageHub

from nasiam_mm.engine.optim import WeightOptimWrapperConstructor
from nasiam_mm.registry import MODELS
from nasiam_mm.search.gradient.gradients import alpha_gradients, unrolled_alpha_gradients
from tests.small import batch, build, tensors

SIDE, WIDTH = 4, 16  # patches, of a token
TOKENS = dict(embed_dims=WIDTH, num_layers=2, num_heads=2, feedforward_channels=32)
VIT = dict(type='MoCoV3ViT', arch=TOKENS, img_size=16, patch_size=4)
FIXED = ('pos_embed', 'patch_embed.projection.weight', 'patch_embed.projection.bias')
PRECISION = {
    'float32': contextlib.nullcontext,
    'bfloat16': lambda: torch.autocast('cpu', torch.bfloat16),
}


@pytest.fixture(autouse=True)
def max_iters():
    MessageHub._instance_dict.clear()
    MessageHub.get_current_instance().update_info('max_iters', 100)
    yield
    MessageHub._instance_dict.clear()


def searched(seed=0, framework='mocov3'):
    example = build(framework).neck  # its arguments, less the pooling
    neck = dict(type='HeadMLP', name='projector', in_channels=WIDTH, hidden_channels=WIDTH)
    neck.update(depth=3, out_channels=example.out_channels, with_avg_pool=False)
    return build(framework, seed, backbone=VIT, neck=neck)


def test_positions_are_sines_and_cosines_of_row_and_column():
    vit = MODELS.build(VIT)
    vit.init_weights()
    assert vit.pos_embed.shape == (1, 1 + SIDE**2, WIDTH)
    assert not vit.pos_embed[0, 0].any()
    quarter = WIDTH // 4
    rates = [10000 ** (-k / quarter) for k in range(quarter)]
    codes = [
        [f(place * rate) for f in (sin, cos) for rate in rates] for place in range(SIDE)
    ]  # of a place along one axis
    found = vit.pos_embed[0, 1:].detach()
    table = torch.tensor([[codes[i] + codes[j] for j in range(SIDE)] for i in range(SIDE)])
    # Which axis comes first the paper leaves open.
    ways = [table.flatten(0, 1), table.transpose(0, 1).flatten(0, 1)]
    assert sum(torch.allclose(found, way, atol=1e-6) for way in ways) == 1


def test_what_is_fixed_is_so_before_weights_are_drawn():
    drawn, undrawn = MODELS.build(VIT), MODELS.build(VIT)
    drawn.init_weights()
    for vit in (drawn, undrawn):
        assert {n for n, p in vit.named_parameters() if not p.requires_grad} == set(FIXED)
    whole = MODELS.build({**VIT, 'stop_grad_conv1': False})
    assert {n for n, p in whole.named_parameters() if not p.requires_grad} == {'pos_embed'}


def test_steps_with_decay_leave_it_and_its_average_where_it_was():
    model = searched()
    adamw = dict(optimizer=dict(type='AdamW', lr=0.01, weight_decay=0.5))
    wrapper = WeightOptimWrapperConstructor(adamw)(model)
    held = {id(p) for group in wrapper.optimizer.param_groups for p in group['params']}
    vit, average = model.backbone, model.momentum_encoder.module[0]
    assert not held & {id(vit.get_parameter(name)) for name in FIXED}
    average.load_state_dict(vit.state_dict())
    before = tensors(vit)
    for _ in range(5):
        wrapper.update_params(model.loss(batch()['inputs'], None)['loss'])
    for name, weight in vit.named_parameters():
        assert torch.equal(weight, before[name]) == (name in FIXED), name
    for name in FIXED:
        torch.testing.assert_close(average.get_parameter(name), before[name], atol=1e-6, rtol=1e-6)


def test_every_trained_weight_gets_a_gradient():
    # Several processes wait for each: none has to be looked for.
    model = searched()
    model.loss(batch()['inputs'], None)['loss'].backward()
    lost = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert lost == []


@pytest.mark.parametrize('precision', PRECISION)
def test_alpha_s_step_is_exact_and_moves_nothing(precision):
    model, data = searched(), batch()
    model.loss(batch()['inputs'], None)
    twin, before = copy.deepcopy(model), tensors(model)
    alphas = twin.architecture.alphas()
    with PRECISION[precision]():
        loss, gradients = alpha_gradients(model, data, model.architecture.alphas())
        for alpha in alphas:
            alpha.requires_grad_(True)
        expected = twin.loss(data['inputs'], None, update_state=False)['loss']
        expected.backward()
    assert torch.equal(loss, expected.detach())
    for gradient, alpha in zip(gradients, alphas, strict=True):
        assert torch.equal(gradient, alpha.grad) and gradient.abs().sum() > 0
    assert all(torch.equal(value, before[name]) for name, value in tensors(model).items())


def test_a_virtual_step_is_unrolled_through_attention():
    # Without keys, which follow alpha and count as constants.
    model = searched(framework='simclr').double()
    held_out, data = batch(dtype=torch.double), batch(dtype=torch.double)
    alpha = model.architecture.alpha('projector')
    _, (gradient,) = unrolled_alpha_gradients(
        model, held_out, data, [alpha], lambda weight, of_it: 0.05 * of_it
    )

    def after_a_step(shift):
        twin = copy.deepcopy(model)
        twin.architecture.alpha('projector')[1, 2] += shift
        step = torch.optim.SGD([p for p in twin.parameters() if p.requires_grad], lr=0.05)
        twin.loss(data['inputs'], None, update_state=False)['loss'].backward()
        step.step()
        with torch.no_grad():
            return twin.loss(held_out['inputs'], None, update_state=False)['loss'].item()

    slope = (after_a_step(1e-5) - after_a_step(-1e-5)) / 2e-5
    assert abs(slope) > 1e-6 and gradient[1, 2].item() == pytest.approx(slope, rel=1e-4)


def test_patches_that_do_not_fill_an_image_are_refused():
    with pytest.raises(ValueError, match='img_size 16 is no multiple of patch_size 5'):
        MODELS.build(dict(VIT, patch_size=5))
