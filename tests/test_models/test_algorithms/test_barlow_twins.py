# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Barlow Twins' loss is equations 1 and 2 of its paper, and mmpretrain's on one process.

Over several processes: tests/test_distributed/test_joint_losses.py.
"""

import copy

import pytest
import torch
from mmpretrain.models import LatentCrossCorrelationHead as StockHead

from nasiam_mm.registry import MODELS
from tests.test_models.test_algorithms.toys import DIM, build, correlating, views

LAMBDA = 0.005


def paper(z1, z2, eps=1e-5):
    """Sum of (1 - C_ii)^2 and lambda C_ij^2, C_ij the correlation of two channels (eq. 1 and 2)."""
    channels = z1.shape[1]
    a, b = (z - z.mean(0) for z in (z1, z2))
    total = 0.0
    for i in range(channels):
        for j in range(channels):
            x, y = a[:, i], b[:, j]
            # BatchNorm's eps, by which the authors' code differs from the equation.
            scale = ((x.square().mean() + eps) * (y.square().mean() + eps)).sqrt()
            c = (x * y).mean() / scale
            total = total + ((1 - c).square() if i == j else LAMBDA * c.square())
    return total


def head(**changes):
    return MODELS.build(correlating(LAMBDA, **changes))


def pair(count=7, dtype=torch.double, channels=5):
    return [torch.randn(count, channels, dtype=dtype).mul(3).add(1).requires_grad_() for _ in 'ab']


def gradients(loss, z):
    return torch.autograd.grad(loss, z)


@pytest.mark.parametrize('shape', [(7, 5), (3, 9), (16, 1)])
def test_loss_and_gradient_are_those_of_the_paper(shape):
    z = pair(shape[0], channels=shape[1])
    loss, expected = head().loss(*z), paper(*z)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(gradients(loss, z), gradients(expected, z))
    # Without eps they are the equation's own.
    torch.testing.assert_close(head(eps=0.0).loss(*z), paper(*z, eps=0.0))


def test_the_model_s_loss_is_that_of_its_embeddings_each_view_on_its_own():
    model, data = build('BarlowTwins'), views(6)
    twin = copy.deepcopy(model)
    z = [twin.neck(twin.backbone(view))[0].double() for view in data]
    loss = model.loss(data, None)['loss']
    torch.testing.assert_close(loss.double(), paper(*z), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(loss, model.loss(data, None, update_state=False)['loss'])


def test_on_one_process_loss_and_gradient_are_those_of_mmpretrain():
    z = pair(dtype=torch.float32)
    stock = StockHead(in_channels=5, loss=dict(type='CrossCorrelationLoss', lambd=LAMBDA)).train()
    loss, expected = head().loss(*z), stock.loss(*z)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(gradients(loss, z), gradients(expected, z), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('channels', [1, 4])
def test_closed_forms(channels):
    ones = torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0], dtype=torch.double)
    hadamard = torch.stack([ones, ones[[0, 0, 1, 1] * 2], ones[[0, 1, 1, 0] * 2]], 1)
    hadamard = torch.cat([hadamard, ones[[0] * 4 + [1] * 4][:, None]], 1)[:, :channels]
    no_eps = head(eps=0.0)
    # Whitened and equal views: the identity matrix.
    assert no_eps.loss(hadamard * 5 + 2, hadamard).item() == pytest.approx(0, abs=1e-12)
    # All channels alike: every entry is 1; opposed views: -1 on the diagonal.
    alike = hadamard[:, :1].expand(-1, channels)
    assert no_eps.loss(alike, alike).item() == pytest.approx(LAMBDA * channels * (channels - 1))
    assert no_eps.loss(hadamard, -hadamard).item() == pytest.approx(4 * channels)
    # A constant channel has no correlation.
    flat = torch.ones(8, channels, dtype=torch.double)
    assert head().loss(flat, flat).item() == pytest.approx(channels)


def test_it_is_of_scale_and_offset_no_matter():
    z1, z2 = pair()
    loss = head(eps=0.0).loss(z1, z2)
    torch.testing.assert_close(head(eps=0.0).loss(4 * z1 - 3, 0.1 * z2 + 9), loss)


def test_it_is_float32_under_autocast():
    z1, z2 = pair(64, torch.float32)
    with torch.autocast('cpu', torch.bfloat16):
        loss = head().loss(z1, z2)
        coarse = head().loss(z1.bfloat16(), z2.bfloat16())
    assert loss.dtype == coarse.dtype == torch.float32
    assert torch.equal(loss, head().loss(z1, z2))


def test_it_keeps_no_statistics():
    assert list(head().state_dict()) == []


@pytest.mark.parametrize('number', [-1, float('nan'), '0.005', True])
def test_numbers_that_cannot_be(number):
    for changes in (dict(eps=number), dict(loss=dict(type='CrossCorrelationLoss', lambd=number))):
        with pytest.raises(ValueError, match=r'\.(eps|lambd) must be a number of at least 0, got'):
            MODELS.build({**correlating(), **changes})


def test_what_is_refused():
    with pytest.raises(ValueError, match='a variance over the batch needs two images, got 1'):
        head().loss(torch.randn(1, 4), torch.randn(1, 4))
    with pytest.raises(ValueError, match=f'in_channels is 3, but z has {DIM} channels; leave it o'):
        build('BarlowTwins', head=correlating(in_channels=3)).loss(views(), None)
    assert build('BarlowTwins', head=correlating(in_channels=DIM)).loss(views(), None)['loss'] > 0
