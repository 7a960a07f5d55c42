# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The virtual step of the weights: that of torch's SGD, and none at rate 0."""

import copy

import pytest
import torch

from nasiam_mm.search.gradient.gradients import (
    alpha_gradients,
    unrolled_alpha_gradients,
    virtual_step,
)
from nasiam_mm.search.gradient.hook import AlphaStepHook
from tests.small import batch, build, search, train

SETTINGS = [
    dict(momentum=0.9, weight_decay=3e-4),
    dict(momentum=0.9, weight_decay=3e-4, nesterov=True),
    dict(momentum=0.8, dampening=0.3),
    dict(weight_decay=0.1),
]


@pytest.mark.parametrize('settings', SETTINGS, ids=str)
@pytest.mark.parametrize('steps', [0, 3])
def test_it_is_the_step_that_sgd_takes(settings, steps):
    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.randn(5, dtype=torch.double))
    optimizer = torch.optim.SGD([weight], lr=0.1, **settings)
    for _ in range(steps):
        weight.grad = torch.randn(5, dtype=torch.double)
        optimizer.step()
    gradient = torch.randn(5, dtype=torch.double)
    expected = weight.detach() - virtual_step(optimizer, with_state=True)(weight, gradient).detach()
    plain = weight.detach() - virtual_step(optimizer)(weight, gradient)
    torch.testing.assert_close(plain, weight.detach() - 0.1 * gradient)
    weight.grad = gradient
    optimizer.step()
    torch.testing.assert_close(weight.detach(), expected)


def test_without_a_step_the_orders_agree():
    model = build('simclr').double()
    held_out, train_batch = batch(dtype=torch.double), batch(dtype=torch.double)
    alphas = model.architecture.alphas()
    weights = [p for p in model.parameters() if p.requires_grad]
    still = virtual_step(torch.optim.SGD(weights, lr=0.0, momentum=0.9), with_state=True)
    loss, (second,) = unrolled_alpha_gradients(model, held_out, train_batch, alphas, still)
    expected, (first,) = alpha_gradients(model, held_out, alphas)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(second, first, rtol=1e-9, atol=1e-12)


def test_it_agrees_with_finite_differences_of_a_real_step():
    model = build('simclr').double()
    held_out, train_batch = batch(dtype=torch.double), batch(dtype=torch.double)
    alpha = model.architecture.alpha('projector')

    def optimizer_of(twin):
        weights = [p for p in twin.parameters() if p.requires_grad]
        return torch.optim.SGD(weights, lr=0.05, momentum=0.9, weight_decay=1e-2)

    real = optimizer_of(model)
    model.loss(train_batch['inputs'], None, update_state=False)['loss'].backward()
    real.step()
    real.zero_grad()
    _, (gradient,) = unrolled_alpha_gradients(
        model, held_out, train_batch, [alpha], virtual_step(real, with_state=True)
    )

    def after_a_step(shift):
        twin = copy.deepcopy(model)
        twin.architecture.alpha('projector')[1, 2] += shift
        own = optimizer_of(twin)
        own.load_state_dict(copy.deepcopy(real.state_dict()))
        twin.loss(train_batch['inputs'], None, update_state=False)['loss'].backward()
        own.step()
        with torch.no_grad():
            return twin.loss(held_out['inputs'], None, update_state=False)['loss'].item()

    slope = (after_a_step(1e-5) - after_a_step(-1e-5)) / 2e-5
    assert gradient[1, 2].item() == pytest.approx(slope, rel=1e-4)


def test_other_optimizers_have_no_such_step():
    weight = torch.nn.Parameter(torch.zeros(1))
    with pytest.raises(ValueError, match="'sgd' unrolls a step of SGD; the weights' is Adam"):
        virtual_step(torch.optim.Adam([weight], lr=0.1), with_state=True)


def test_a_search_unrolls_it(tmp_path):
    alphas = []
    for second_order in (True, 'sgd'):
        cfg = search('simclr', tmp_path / str(second_order), batch_size=128)
        cfg.default_hooks.alpha_step.second_order = second_order
        alphas.append(train(cfg).model.architecture.alpha('projector'))
    assert not torch.equal(*alphas)


@pytest.mark.parametrize('order', ['SGD', 2, None])
def test_orders_that_there_are_not(order):
    with pytest.raises(ValueError, match="second_order must be True, False or 'sgd', got"):
        AlphaStepHook(dict(), dict(type='Adam', lr=0.1), second_order=order)
