# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""BYOL's loss and target are those of the paper; the schedule counts weight steps alone."""

import copy
from math import cos, pi

import pytest
import torch
from mmengine.logging import MessageHub

from nasiam_mm.search.gradient.gradients import alpha_gradients
from tests.test_models.test_algorithms.toys import build, disturb, unit, views

STEPS = 7
TAU = 0.9  # mmengine's momentum is 1 - tau


@pytest.fixture(autouse=True)
def run_of_seven_steps():
    MessageHub._instance_dict.clear()
    MessageHub.get_current_instance().update_info('max_iters', STEPS)
    yield
    MessageHub._instance_dict.clear()


def paper(model, view1, view2):
    """Squared distance of normalised prediction and target, over both ways (BYOL, eq. 2)."""
    total = 0
    for online_view, target_view in ((view1, view2), (view2, view1)):
        q = model.head.predictor([model.neck(model.backbone(online_view))[0]])[0]
        z = model.target_net(target_view)[0].detach()
        total = total + (unit(q) - unit(z)).square().sum(dim=1).mean()
    return total


def test_loss_is_that_of_the_paper_up_to_a_constant():
    model, data = build('BYOL'), views()
    # Online and target network apart from each other.
    disturb(model)
    twin = copy.deepcopy(model)
    loss = model.loss(data, None, update_state=False)['loss']
    expected = paper(twin, *data)
    torch.testing.assert_close(loss + 4, expected)
    weights, theirs = ([p for p in m.parameters() if p.requires_grad] for m in (model, twin))
    loss.backward(), expected.backward()
    for own, other in zip(weights, theirs, strict=True):
        assert (own.grad is None) == (other.grad is None)
        if own.grad is not None:
            torch.testing.assert_close(own.grad, other.grad, atol=1e-6, rtol=1e-4)
    assert all(p.grad is None for p in model.target_net.parameters())


def test_target_starts_where_the_online_network_does():
    model = build('BYOL')
    online = model.momentum_pairs()[0][1].state_dict()
    target = model.target_net.module.state_dict()
    assert set(online) == set(target)
    assert all(torch.equal(value, online[name]) for name, value in target.items())


def test_target_follows_the_schedule_of_the_paper_over_weight_steps():
    model = build('BYOL')
    alphas = model.architecture.alphas()
    expected = {n: p.clone() for n, p in model.target_net.module.named_parameters()}
    for k in range(STEPS):
        for _ in range(3):
            alpha_gradients(model, dict(inputs=views(), data_samples=None), alphas)
        tau = 1 - (1 - TAU) * (cos(pi * k / STEPS) + 1) / 2
        online = dict(model.momentum_pairs()[0][1].named_parameters())
        # At k = 0 both are equal, so that tau does not matter.
        expected = {n: tau * xi + (1 - tau) * online[n].detach() for n, xi in expected.items()}
        model.loss(views(), None)
        for name, xi in model.target_net.module.named_parameters():
            torch.testing.assert_close(xi, expected[name], atol=1e-6, rtol=1e-5)
        assert model.target_net.steps == k + 1
        disturb(model)
    # From the base rate to no movement at all.
    assert tau == pytest.approx(1 - (1 - TAU) * (cos(pi * 6 / 7) + 1) / 2)


def test_the_loss_is_computed_against_the_moved_target():
    model, data = build('BYOL'), views()
    model.loss(views(), None)
    disturb(model)
    twin = copy.deepcopy(model)
    loss = model.loss(data, None)['loss']
    assert not torch.allclose(paper(twin, *data), loss + 4)
    twin.target_net.update_parameters(twin.momentum_pairs()[0][1])
    torch.testing.assert_close(loss + 4, paper(twin, *data))
