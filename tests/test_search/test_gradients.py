# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims: the alpha gradient, of first and of second order, is that of finite differences.

That it is the full graph's bit for bit, and that nothing else moves, the contract tests ask of
every framework (tests/test_models/test_contracts.py).
"""

import copy

import pytest
import torch
from mmengine.config import Config
from torch.utils.flop_counter import FlopCounterMode

from nasiam_mm.models.frameworks import FRAMEWORKS
from nasiam_mm.models.prototypes import SwAVLoss
from nasiam_mm.registry import MODELS
from nasiam_mm.search.gradient.gradients import alpha_gradients, unrolled_alpha_gradients
from tests.reduced import ROOT
from tests.small import batch, build, tensors

every = pytest.mark.parametrize('framework', FRAMEWORKS.values(), ids=FRAMEWORKS)


def test_state_is_put_back_after_an_error():
    model = build('simsiam')
    before, honest = tensors(model), model.loss

    def loss(*args, **kwargs):
        honest(*args, **kwargs)
        assert not any(p.requires_grad for p in model.parameters())
        assert any(not torch.equal(value, before[name]) for name, value in tensors(model).items())
        raise RuntimeError('stop')

    model.loss = loss
    with pytest.raises(RuntimeError, match='stop'):
        alpha_gradients(model, batch(), model.architecture.alphas())
    assert all(p.requires_grad for p in model.parameters())
    assert not any(alpha.requires_grad for alpha in model.architecture.alphas())
    assert all(torch.equal(value, before[name]) for name, value in tensors(model).items())


def test_a_loss_that_moves_state_is_refused():
    model = build('simsiam')
    model.register_buffer('queue_ptr', torch.zeros(1))
    honest = model.loss

    def loss(*args, **kwargs):
        model.queue_ptr += 1
        return honest(*args, **kwargs)

    model.loss = loss
    with pytest.raises(RuntimeError, match="SimSiam.loss changed 'queue_ptr' in the alpha step"):
        alpha_gradients(model, batch(), model.architecture.alphas())


def slope(alpha, place, step, loss):
    """Central difference of a loss at one element of alpha."""
    values = []
    for sign in (1, -1):
        alpha[place] += sign * step
        values.append(loss())
        alpha[place] -= sign * step
    return (values[0] - values[1]) / (2 * step)


def keep_constants(model, kept):
    """Give for ever what the first call detached: stop-gradient makes it a constant."""
    replayed = iter(list(kept))

    def keep(value):
        constant = next(replayed, None)
        if constant is None:
            constant = value.detach()
            kept.append(constant)
        return constant

    if hasattr(model.head, 'predictor'):
        honest = model.head.loss
        model.head.loss = lambda prediction, target: honest(prediction, keep(target))
    if hasattr(model, '_keys'):
        honest_keys = model._keys
        model._keys = lambda view: keep(honest_keys(view))
    if isinstance(module := getattr(model.head, 'loss_module', None), SwAVLoss):
        honest_assignment = module._assignment
        module._assignment = lambda *given: keep(honest_assignment(*given))


@every
def test_gradient_agrees_with_finite_differences(framework):
    model = build(framework).double()
    data, kept = batch(dtype=torch.double), []
    alphas = model.architecture.alphas()
    _, gradients = alpha_gradients(model, data, alphas)

    def loss():
        twin = copy.deepcopy(model)
        keep_constants(twin, kept)
        with torch.no_grad():
            return twin.loss(data['inputs'], None, update_state=False)['loss'].item()

    loss()
    for alpha, gradient in zip(alphas, gradients, strict=True):
        for place in [(0, 0), (1, 2)]:
            expected = slope(alpha, place, 1e-6, loss)
            assert gradient[place].item() == pytest.approx(expected, rel=1e-3, abs=1e-7)


@every
def test_second_order_agrees_with_finite_differences(framework):
    model = build(framework).double()
    held_out, train = batch(dtype=torch.double), batch(dtype=torch.double)
    alphas = model.architecture.alphas()
    weights = [p for p in model.parameters() if p.requires_grad]
    rates = {weight: 0.05 + 0.01 * (n % 3) for n, weight in enumerate(weights)}

    def step(weight, gradient):
        return rates[weight] * gradient

    loss, gradients = unrolled_alpha_gradients(model, held_out, train, alphas, step)
    kept = []

    def loss_after_a_step():
        """Step a twin for real, and look at the held-out loss."""
        twin = copy.deepcopy(model)
        keep_constants(twin, kept)
        own = [p for p in twin.parameters() if p.requires_grad]
        twin.loss(train['inputs'], None, update_state=False)['loss'].backward()
        with torch.no_grad():
            for weight, origin in zip(own, weights, strict=True):
                if weight.grad is not None:
                    weight -= rates[origin] * weight.grad
            return twin.loss(held_out['inputs'], None, update_state=False)['loss'].item()

    assert loss.item() == pytest.approx(loss_after_a_step(), rel=1e-12)
    _, first_order = alpha_gradients(model, held_out, alphas)
    for alpha, gradient, cheap in zip(alphas, gradients, first_order, strict=True):
        assert not torch.allclose(gradient, cheap, rtol=1e-2)
        for place in [(0, 0), (1, 2)]:
            expected = slope(alpha, place, 1e-6, loss_after_a_step)
            assert gradient[place].item() == pytest.approx(expected, rel=1e-3, abs=1e-6)


@every
def test_the_scale_of_the_loss_falls_out_of_both_orders(framework):
    model = build(framework).double()
    held_out, train = batch(dtype=torch.double), batch(dtype=torch.double)
    alphas = model.architecture.alphas()

    def virtual(weight, gradient):
        return 0.05 * gradient

    for step in (
        lambda scale: alpha_gradients(model, held_out, alphas, scale),
        lambda scale: unrolled_alpha_gradients(model, held_out, train, alphas, virtual, scale),
    ):
        (loss, plain), (same_loss, scaled) = step(1.0), step(2.0**16)
        assert torch.equal(loss, same_loss)
        assert all(map(torch.equal, plain, scaled))
    # Seen from within: the graph is that of the scaled loss.
    grads, honest = [], torch.autograd.grad
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            torch.autograd, 'grad', lambda out, *a, **k: grads.append(out) or honest(out, *a, **k)
        )
        step(2.0**16)
    assert len(grads) == 2 and all(out.abs() > 100 for out in grads)


def test_flops_of_the_published_head_are_a_third_of_the_full_step():
    cfg = Config.fromfile(ROOT / 'configs/nasiam/simsiam_r18_search_cifar10.py')
    del cfg.model['data_preprocessor']
    model = MODELS.build(cfg.model).train()
    alphas = model.architecture.alphas()
    data = batch(2, 32)
    with FlopCounterMode(display=False) as cheap:
        alpha_gradients(model, data, alphas)
    for alpha in alphas:
        alpha.requires_grad_(True)
    with FlopCounterMode(display=False) as full:
        model.loss(data['inputs'], None, update_state=False)['loss'].backward()
    assert cheap.get_total_flops() / full.get_total_flops() <= 0.36
