# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""VICReg's loss is equations 1 to 6 of its paper, s as in algorithm 1.

Over several processes: tests/test_distributed/test_joint_losses.py.
"""

import copy

import pytest
import torch

from nasiam_mm.registry import MODELS
from tests.test_models.test_algorithms.toys import build, views

EPS = 1e-4


def paper(z1, z2, weights=(25, 25, 1), gamma=1.0, eps=EPS):
    """25 s + 25 (v + v') + (c + c'), channel by channel (eq. 1 to 6)."""
    count, channels = z1.shape
    s = sum((a - b) @ (a - b) for a, b in zip(z1, z2, strict=True)) / count / channels
    v = c = 0.0
    for z in (z1, z2):
        z = z - z.mean(0)
        for i in range(channels):
            deviation = ((z[:, i] @ z[:, i]) / (count - 1) + eps).sqrt()
            v = v + (gamma - deviation).clamp_min(0) / channels
            for j in range(channels):
                if i != j:
                    c = c + ((z[:, i] @ z[:, j]) / (count - 1)).square() / channels
    return weights[0] * s + weights[1] * v + weights[2] * c


def head(**changes):
    return MODELS.build(dict(type='VICRegHead', **changes))


def pair(dtype=torch.double, count=7, width=5):
    # Deviations on both sides of gamma, channels that covary.
    scale = torch.linspace(0.2, 2, width)
    z = [torch.randn(count, width) * scale @ torch.randn(width, width).mul(0.3) for _ in 'ab']
    return [(x + 0.5).to(dtype).requires_grad_() for x in z]


@pytest.mark.parametrize('changes', [{}, dict(gamma=0.6, eps=0.01)])
def test_loss_and_gradient_are_those_of_the_paper(changes):
    z = pair()
    loss, expected = head(**changes).loss(*z), paper(*z, **changes)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(torch.autograd.grad(loss, z), torch.autograd.grad(expected, z))
    deviations = torch.stack(z).std(1)
    assert (deviations > 1).any() and (deviations < 1).any()


@pytest.mark.parametrize(('count', 'width'), [(2, 6), (16, 1), (3, 12)])
def test_so_they_are_of_few_images_and_of_few_channels(count, width):
    z = pair(count=count, width=width)
    loss, expected = head().loss(*z), paper(*z)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(torch.autograd.grad(loss, z), torch.autograd.grad(expected, z))


@pytest.mark.parametrize('place', range(3))
def test_each_weight_is_of_its_own_term(place):
    z = pair()
    weights = [0.0, 0.0, 0.0]
    weights[place] = 2.0
    named = dict(zip(('invariance', 'variance', 'covariance'), weights, strict=True))
    loss = head(**named).loss(*z)
    assert loss > 0
    torch.testing.assert_close(loss, paper(*z, weights=weights))


def test_the_model_s_loss_is_that_of_its_embeddings_each_view_on_its_own():
    model, data = build('VICReg'), views(6)
    twin = copy.deepcopy(model)
    z = [twin.neck(twin.backbone(view))[0].double() for view in data]
    loss = model.loss(data, None)['loss']
    torch.testing.assert_close(loss.double(), paper(*z), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(loss, model.loss(data, None, update_state=False)['loss'])


def test_closed_forms():
    # Two opposed points of C channels that are alike: Var 4 / 3 at four images of +-1.
    sign = torch.tensor([1.0, -1.0, 1.0, -1.0], dtype=torch.double)[:, None]
    channels = 6
    alike = sign.expand(-1, channels)
    covariance = 2 * (channels - 1) * (4 / 3) ** 2
    assert head().loss(alike, alike).item() == pytest.approx(covariance)
    # Opposed views differ by 2 in every channel.
    assert head().loss(alike, -alike).item() == pytest.approx(25 * 4 + covariance)
    # A constant: no deviation but sqrt(eps), and its gradient is finite.
    flat = torch.full((4, channels), 3.0, dtype=torch.double, requires_grad=True)
    loss = head().loss(flat, flat)
    assert loss.item() == pytest.approx(25 * 2 * (1 - EPS**0.5))
    assert torch.autograd.grad(loss, flat)[0].isfinite().all()
    # One channel covaries with none; wide enough, nothing is left.
    assert head().loss(2 * sign, 2 * sign).item() == 0


def test_it_is_float32_under_autocast():
    z1, z2 = pair(torch.float32)
    with torch.autocast('cpu', torch.bfloat16):
        loss = head().loss(z1, z2)
        coarse = head().loss(z1.bfloat16(), z2.bfloat16())
    assert loss.dtype == coarse.dtype == torch.float32
    assert torch.equal(loss, head().loss(z1, z2))


@pytest.mark.parametrize(
    ('changes', 'told'),
    [
        (dict(variance=-1.0), 'VICRegHead.variance must be a number of at least 0, got -1.0'),
        (dict(gamma=float('nan')), 'VICRegHead.gamma must be a number of at least 0, got nan'),
        (dict(eps=0), 'VICRegHead.eps must be a positive number, got 0'),
        (dict(covariance=float('inf')), 'VICRegHead.covariance must be .* got inf'),
        (dict(invariance='25'), "VICRegHead.invariance must be .* got '25'"),
        (dict(invariance=0, variance=0, covariance=0), 'all of invariance, .* give one a weight'),
    ],
)
def test_numbers_that_are_no_weights(changes, told):
    with pytest.raises(ValueError, match=told):
        head(**changes)


def test_a_single_image_has_no_variance():
    z = torch.randn(1, 4)
    with pytest.raises(ValueError, match='a variance over the batch needs two images, got 1'):
        head().loss(z, z)
