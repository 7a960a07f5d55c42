# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims: the alpha gradient is exact, and nothing but alpha is touched (C1, C2)."""

import copy

import pytest
import torch
from mmengine.config import Config
from nasiam_mm.models.searched_cells import searched_cells
from torch.utils.flop_counter import FlopCounterMode

from nasiam_mm.registry import MODELS
from nasiam_mm.search.gradient.gradients import (
    alpha_gradients,
    only_alpha_learns,
    unrolled_alpha_gradients,
)
from tests.reduced import ROOT, reduced

SEARCHES = ['nasiam/simsiam_r18_search_cifar10', 'nasiam/simclr_r18_search_cifar10']
WITH_MOMENTUM = ['nasiam/mocov2_r18_search_cifar10', 'nasiam/byol_r18_search_cifar10']


def build(name, tmp_path, seed=0):
    torch.manual_seed(seed)
    model = MODELS.build(reduced(name, tmp_path).model)
    model.init_weights()
    for cell in searched_cells(model).values():
        torch.nn.init.normal_(cell.alpha, std=0.3)
    for name, weight in model.named_parameters():
        if name.startswith(('encoder_k.', 'target_net.')):
            weight.data += 0.01 * torch.randn_like(weight)
    return model.train()


def views(batch=16):
    return dict(inputs=[torch.randn(batch, 3, 32, 32) for _ in range(2)], data_samples=None)


def full_graph(model, data, alphas):
    for alpha in alphas:
        alpha.requires_grad_(True)
    losses = model.loss(data['inputs'], data['data_samples'], update_state=False)
    losses['loss'].backward()
    return losses['loss'].detach(), [alpha.grad.clone() for alpha in alphas]


@pytest.mark.parametrize('name', [*SEARCHES, *WITH_MOMENTUM])
@pytest.mark.parametrize('seed', [0, 1, 2])
def test_gradients_equal_those_of_the_full_graph_bit_for_bit(name, seed, tmp_path):
    model = build(name, tmp_path, seed)
    twin = copy.deepcopy(model)
    data = views()
    loss, gradients = alpha_gradients(
        model, data, [cell.alpha for cell in searched_cells(model).values()]
    )
    expected_loss, expected = full_graph(
        twin, data, [cell.alpha for cell in searched_cells(twin).values()]
    )
    assert torch.equal(loss, expected_loss)
    assert len(gradients) == len(expected) == len(searched_cells(model))
    for gradient, reference in zip(gradients, expected, strict=True):
        assert gradient.abs().sum() > 0
        assert torch.equal(gradient, reference)


@pytest.mark.parametrize('name', [*SEARCHES, *WITH_MOMENTUM])
def test_nothing_else_changes(name, tmp_path):
    model = build(name, tmp_path)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    flags = {key: p.requires_grad for key, p in model.named_parameters()}
    alpha_gradients(model, views(), [cell.alpha for cell in searched_cells(model).values()])
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key]), key
    assert all(p.grad is None for p in model.parameters())
    assert {key: p.requires_grad for key, p in model.named_parameters()} == flags
    norms = [m for m in model.modules() if hasattr(m, 'track_running_stats')]
    assert norms and all(norm.track_running_stats and norm.training for norm in norms)


def test_state_is_put_back_after_an_error(tmp_path):
    model = build(SEARCHES[0], tmp_path)
    with pytest.raises(RuntimeError, match='stop'), only_alpha_learns(model, []):
        raise RuntimeError('stop')
    alphas = {id(cell.alpha) for cell in searched_cells(model).values()}
    assert all(p.requires_grad != (id(p) in alphas) for p in model.parameters())
    assert model.backbone.norm1.track_running_stats


def test_a_loss_that_moves_state_is_refused(tmp_path):
    model = build(SEARCHES[0], tmp_path)
    model.register_buffer('queue_ptr', torch.zeros(1))
    honest = model.loss

    def loss(*args, **kwargs):
        model.queue_ptr += 1
        return honest(*args, **kwargs)

    model.loss = loss
    with pytest.raises(RuntimeError, match="SimSiam.loss changed 'queue_ptr' in the alpha step"):
        alpha_gradients(model, views(), [cell.alpha for cell in searched_cells(model).values()])


def test_gradient_agrees_with_finite_differences(tmp_path):
    model = build(SEARCHES[1], tmp_path).double()
    data = views(8)
    data['inputs'] = [view.double() for view in data['inputs']]
    alpha = searched_cells(model)['projector'].alpha
    _, (gradient,) = alpha_gradients(model, data, [alpha])
    step = 1e-7
    for row, column in [(0, 0), (2, 3), (5, 1)]:
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                alpha[row, column] += sign * step
                values.append(model.loss(data['inputs'], None)['loss'].item())
                alpha[row, column] -= sign * step
        assert gradient[row, column].item() == pytest.approx(
            (values[0] - values[1]) / (2 * step), rel=1e-3, abs=1e-7
        )


def test_flops_of_the_published_head_are_a_third_of_the_full_step():
    cfg = Config.fromfile(ROOT / 'configs/nasiam/simsiam_r18_search_cifar10.py')
    model = MODELS.build(cfg.model).train()
    alphas = [cell.alpha for cell in searched_cells(model).values()]
    data = views(2)
    with FlopCounterMode(display=False) as cheap:
        alpha_gradients(model, data, alphas)
    with FlopCounterMode(display=False) as full:
        full_graph(model, data, alphas)
    assert cheap.get_total_flops() / full.get_total_flops() <= 0.36


def keep_targets(head, targets):
    """Stop-gradient makes targets constants: use those of the first call for ever."""
    honest, replayed = head.loss, iter(list(targets))

    def loss(prediction, target):
        kept = next(replayed, None)
        if kept is None:
            kept = target.detach()
            targets.append(kept)
        return honest(prediction, kept)

    head.loss = loss


@pytest.mark.parametrize('name', SEARCHES)
def test_second_order_agrees_with_finite_differences(name, tmp_path):
    model = build(name, tmp_path).double()
    held_out, train = views(8), views(8)
    for data in (held_out, train):
        data['inputs'] = [view.double() for view in data['inputs']]
    cells = searched_cells(model)
    alphas = [cell.alpha for cell in cells.values()]
    weights = [p for p in model.parameters() if p.requires_grad]
    rates = {weight: 0.05 + 0.01 * (n % 3) for n, weight in enumerate(weights)}
    before = {key: value.clone() for key, value in model.state_dict().items()}
    loss, gradients = unrolled_alpha_gradients(model, held_out, train, alphas, rates)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())

    targets = []

    def loss_after_a_step():
        """Step a twin for real, and look at the held-out loss; targets are constants."""
        twin = copy.deepcopy(model)
        if hasattr(twin.head, 'predictor'):
            keep_targets(twin.head, targets)
        own = [p for p in twin.parameters() if p.requires_grad]
        twin.loss(train['inputs'], None)['loss'].backward()
        with torch.no_grad():
            for weight, origin in zip(own, weights, strict=True):
                if weight.grad is not None:
                    weight -= rates[origin] * weight.grad
            return twin.loss(held_out['inputs'], None)['loss'].item()

    assert loss.item() == pytest.approx(loss_after_a_step(), rel=1e-12)
    _, first_order = alpha_gradients(model, held_out, alphas)
    step = 1e-6
    for alpha, gradient, cheap in zip(alphas, gradients, first_order, strict=True):
        assert not torch.allclose(gradient, cheap, rtol=1e-2)
        for row, column in [(0, 0), (1, 2)]:
            values = []
            for sign in (1, -1):
                alpha.data[row, column] += sign * step
                values.append(loss_after_a_step())
                alpha.data[row, column] -= sign * step
            assert gradient[row, column].item() == pytest.approx(
                (values[0] - values[1]) / (2 * step), rel=1e-3, abs=1e-6
            )
