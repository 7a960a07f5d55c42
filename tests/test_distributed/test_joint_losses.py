# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Losses of moments over the batch: two processes of half of it each are one of the whole.

1. The value is that of the joint batch, in each process.
2. So is the mean of their gradients, which a step takes, and what is derived from it again, as an
   unrolled alpha step does.
3. mmpretrain's head of Barlow Twins does neither.
"""

import pytest
import torch
import torch.distributed as dist
from mmengine.registry import init_default_scope
from torch.distributed.nn.functional import all_reduce

from nasiam_mm.registry import MODELS
from tests.test_engine.toy_siamese import run_two_processes

CORRELATION = dict(type='CrossCorrelationLoss', lambd=0.01)
HEADS = {
    'barlowtwins': dict(type='LatentCrossCorrelationHead', loss=CORRELATION),
    'vicreg': dict(type='VICRegHead'),
    'mmpretrain': dict(
        type='mmpretrain.LatentCrossCorrelationHead', in_channels=5, loss=CORRELATION
    ),
}


def views():
    generator = torch.Generator().manual_seed(3)
    scale = torch.linspace(0.3, 2, 5).double()
    return [torch.randn(8, 4, generator=generator).double() for _ in 'ab'], scale


def derived(rank, name, processes):
    """Loss, its gradient to the weights of a linear map, and that of a step along it."""
    init_default_scope('nasiam_mm')
    head = MODELS.build(HEADS[name]).double().train()
    data, scale = views()
    data = [view.chunk(processes)[rank] for view in data]
    weight = (torch.arange(20.0).reshape(4, 5).sin().double() * scale).requires_grad_()
    factor = torch.ones((), dtype=torch.double, requires_grad=True)  # stands for alpha

    def loss_of(weight):
        return head.loss(*((view @ weight * factor).tanh() for view in data))

    loss = loss_of(weight)
    (gradient,) = torch.autograd.grad(loss, weight, create_graph=True)
    mean = all_reduce(gradient) / processes if processes > 1 else gradient
    after = loss_of(weight - 0.1 * mean)
    (alpha,) = torch.autograd.grad(after, factor)
    if processes > 1:
        dist.all_reduce(alpha)
        alpha /= processes
    return dict(loss=loss.detach(), gradient=mean.detach(), alpha=alpha)


@pytest.mark.parametrize('name', ['barlowtwins', 'vicreg'])
def test_two_processes_are_one_of_the_joint_batch(name, tmp_path):
    one = derived(0, name, 1)
    for each in run_two_processes(derived, tmp_path, name, 2):
        for what, value in one.items():
            assert value.abs().max() > 1e-3
            torch.testing.assert_close(each[what], value, msg=what)


def test_mmpretrain_s_head_is_not(tmp_path):
    one, (two, _) = (
        derived(0, 'mmpretrain', 1),
        run_two_processes(derived, tmp_path, 'mmpretrain', 2),
    )
    ours = derived(0, 'barlowtwins', 1)
    torch.testing.assert_close(one, ours)
    assert (two['loss'] - one['loss']).abs() > 0.01 * one['loss']
    # Half of the gradient, beside the statistics of half a batch.
    assert two['gradient'].norm() < 0.8 * one['gradient'].norm()
