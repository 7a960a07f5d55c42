# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""NT-Xent is equation 1 of SimCLR, summed one pair at a time, and mmpretrain's on one process."""

import copy
import math

import pytest
import torch
from mmpretrain.models import SimCLR as StockSimCLR

from tests.test_models.test_algorithms.toys import build, unit, views


def paper(model, view1, view2, temperature, joint_bn):
    """Mean over the 2N views i of -log(exp(s_ij / T) / sum_(k != i) exp(s_ik / T))."""
    if joint_bn:
        z = model.neck(model.backbone(torch.cat([view1, view2])))[0]
    else:
        z = torch.cat([model.neck(model.backbone(view))[0] for view in (view1, view2)])
    z, count = unit(z), len(view1)
    total = 0.0
    for i in range(2 * count):
        j = i + count if i < count else i - count
        others = sum(
            math.exp(torch.dot(z[i], z[k]).item() / temperature) for k in range(2 * count) if k != i
        )
        total += math.log(others) - torch.dot(z[i], z[j]).item() / temperature
    return total / (2 * count)


@pytest.mark.parametrize('joint_bn', [True, False])
def test_loss_is_that_of_the_paper(joint_bn):
    model = build('SimCLR', joint_bn=joint_bn)
    data = views(5)
    expected = paper(copy.deepcopy(model), *data, temperature=0.5, joint_bn=joint_bn)
    assert model.loss(data, None)['loss'].item() == pytest.approx(expected, rel=1e-5)


def test_a_single_image_has_no_negatives():
    with pytest.raises(ValueError, match='NT-Xent needs two images'):
        build('SimCLR').loss(views(1), None)


def test_the_two_batches_of_batchnorm_differ():
    model, data = build('SimCLR', joint_bn=True), views(5)
    joint = model.loss(data, None)['loss'].item()
    model.joint_bn = False
    assert abs(model.loss(data, None)['loss'].item() - joint) > 1e-3


def test_on_one_process_loss_and_gradient_are_those_of_mmpretrain():
    model, data = build('SimCLR'), views(5)
    twin = copy.deepcopy(model)
    loss = model.loss(data, None)['loss']
    stock = StockSimCLR.loss(twin, data, None)['loss']
    torch.testing.assert_close(loss, stock)
    loss.backward(), stock.backward()
    for ours, theirs in zip(model.parameters(), twin.parameters(), strict=True):
        if ours.requires_grad:
            torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-6, rtol=1e-4)
