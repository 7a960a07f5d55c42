# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Backbones to be mixed: gradients of alpha, purity, and what is derived of them.

The contracts of tests/test_models/test_contracts.py, asked of alpha within the backbone.
"""

import copy

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from nasiam_mm.architecture.genotype import Decision
from nasiam_mm.models.backbones.derive import derived_weights
from nasiam_mm.models.choice import ChoiceCell
from nasiam_mm.registry import MODELS
from nasiam_mm.search.gradient.gradients import alpha_gradients, unrolled_alpha_gradients
from nasiam_mm.search.held_out import one_hot_weights
from tests.backbones import GATES, MIXED, alone, simclr
from tests.small import batch, build, tensors

every = pytest.mark.parametrize('kind', MIXED)


def loss_of(model, data):
    return model.loss(data['inputs'], data['data_samples'], update_state=False)['loss']


@every
@pytest.mark.parametrize('settings', [{}, GATES], ids=['softmax', 'gates'])
def test_the_alpha_step_has_the_gradient_of_the_full_graph_and_moves_nothing(kind, settings):
    model, data = simclr(kind, **settings), batch()
    model.architecture.sample(0, 0, 'alpha')
    twin = copy.deepcopy(model)
    before, random = tensors(model), torch.get_rng_state()
    loss, gradients = alpha_gradients(model, data, model.architecture.alphas())
    assert all(value.equal(before[name]) for name, value in tensors(model).items())
    assert torch.equal(random, torch.get_rng_state())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    alphas = twin.architecture.alphas()
    for alpha in alphas:
        alpha.requires_grad_(True)
    expected = loss_of(twin, data)
    expected.backward()
    assert torch.equal(loss, expected.detach())
    for gradient, alpha in zip(gradients, alphas, strict=True):
        assert torch.equal(gradient, alpha.grad) and gradient.abs().sum() > 0


@every
def test_the_gradient_is_that_of_finite_differences(kind):
    model, data = simclr(kind).double(), batch(dtype=torch.float64)
    [*gradients] = alpha_gradients(model, data, model.architecture.alphas())[1]
    step = 1e-7  # within a linear piece of the ReLUs
    for alpha, gradient in zip(model.architecture.alphas(), gradients, strict=True):
        for place in ((0, 0), (len(alpha) - 1, 2)):
            values = []
            for sign in (1, -1):
                alpha[place] += sign * step
                with torch.no_grad():
                    values.append(loss_of(model, data).item())
                alpha[place] -= sign * step
            numeric = (values[0] - values[1]) / (2 * step)
            assert gradient[place].item() == pytest.approx(numeric, rel=1e-3, abs=1e-7)


def test_the_second_order_is_that_of_finite_differences():
    model, lr = simclr('mobilenet').double(), 0.05
    data, train = batch(dtype=torch.float64), batch(dtype=torch.float64)
    alphas = model.architecture.alphas()
    found = unrolled_alpha_gradients(model, data, train, alphas, lambda w, g: lr * g)[1]

    def after_a_step():
        twin = copy.deepcopy(model)
        weights = [p for p in twin.parameters() if p.requires_grad]
        for weight, gradient in zip(
            weights, torch.autograd.grad(loss_of(twin, train), weights), strict=True
        ):
            weight.data -= lr * gradient
        return loss_of(twin, data).item()

    for place in ((0, 0), (2, 1)):
        values = []
        for sign in (1, -1):
            alphas[0][place] += sign * 1e-8
            values.append(after_a_step())
            alphas[0][place] -= sign * 1e-8
        numeric = (values[0] - values[1]) / 2e-8
        assert found[0][place].item() == pytest.approx(numeric, rel=1e-3, abs=1e-6)


def test_the_gradient_of_a_gate_is_proxylessnas_formula_on_the_full_mixture():
    model, data = simclr('mobilenet', **GATES).double(), batch(dtype=torch.float64)
    owner = model.architecture
    for step in range(4):
        owner.sample(0, step, 'alpha')
        [found] = alpha_gradients(model, data, owner.alphas())[1]
        two = owner.paths('backbone')
        gates = owner.weights('backbone').detach().clone()
        # All candidates run, those without a gate at weight 0: dL/dg by autograd.
        everything = {'backbone': tuple(tuple(range(3)) if row.all() else
                      tuple(torch.nonzero(row).flatten().tolist())
                      for row in owner.present('backbone'))}  # fmt: skip
        leaf = gates.clone().requires_grad_(True)
        with owner.mixed_by({'backbone': leaf}, everything):
            [of_gates] = torch.autograd.grad(loss_of(model, data), leaf)
        pair = owner.alpha('backbone').masked_fill(~two, float('-inf')).softmax(1)
        mean = (pair * of_gates).sum(1, keepdim=True)
        # sum_j dL/dg_j p_j (delta_ij - p_i)
        torch.testing.assert_close(found, pair * (of_gates - mean))
        assert found[~two].abs().sum() == 0


def test_an_alpha_step_runs_two_paths_and_a_weight_step_one():
    model, data = simclr('mobilenet', **GATES), batch()
    ran = []
    for layer in model.backbone.blocks.layers:
        for op in layer.ops.values():
            op.register_forward_hook(lambda op, *_: ran.append(op))
    for role, paths in (('alpha', 2), ('weights', 1)):
        model.architecture.sample(0, 1, role)
        ran.clear()
        loss_of(model, data)
        assert len(set(ran)) == paths * len(model.backbone.blocks.layers)


def derived(model, genotype):
    """The network of some decisions, with weights of its supernet."""
    config = {**MIXED[model.kind], 'space': None, 'genotype': genotype}
    net = MODELS.build(config)
    net.load_state_dict(derived_weights(model.backbone.state_dict(), net.state_dict()))
    return net


@every
@pytest.mark.parametrize('mode', [True, False], ids=['training', 'evaluation'])
@pytest.mark.parametrize('seed', range(2))
def test_the_supernet_at_the_chosen_gates_is_the_derived_network(kind, mode, seed):
    model = simclr(kind)
    model.kind, owner = kind, model.architecture
    generator = torch.Generator().manual_seed(seed)
    decisions = {}
    for rows in owner.choices.values():
        for choice in rows:
            there = [o for o, here in zip(choice.options, choice.present, strict=True) if here]
            one = there[int(torch.randint(len(there), (), generator=generator))]
            decisions[choice.name] = Decision(choice.options, (one,))
    net = derived(model, {name: decision.chosen[0] for name, decision in decisions.items()})
    images = torch.randn(4, 3, 16, 16)
    model.backbone.train(mode), net.train(mode)
    with owner.mixed_by(one_hot_weights(owner, decisions)):
        expected = model.backbone(images)
    found = net(images)
    assert len(found) == len(expected) == 1 and torch.equal(found[0], expected[0])
    for name, value in net.state_dict().items():
        assert value.equal(derived_weights(model.backbone.state_dict(), net.state_dict())[name])


def test_weights_of_another_search_are_refused():
    model = simclr('mobilenet')
    model.kind = 'mobilenet'
    names = {f'backbone.{n}.op': 'mbconv_3_e6' for n in range(3)}
    with pytest.raises(ValueError, match=r'the supernet has no weight blocks.layers.0.mbconv_3_e6'):
        derived(model, names)


@every
def test_alpha_is_once_in_the_state_and_momentum_copies_read_it(kind):
    backbone = dict(MIXED[kind], img_size=16)
    neck = dict(type='MoCoV2Neck', in_channels=1, hid_channels=16, out_channels=16)
    model = build('mocov2', backbone=backbone, neck=neck, space=None)
    names = [name for name in model.state_dict() if 'alpha_' in name]
    groups = {'cells': ['normal', 'reduction']}.get(kind, ['backbone'])
    assert names == [f'architecture.alpha_{group}' for group in groups]
    assert list(model.searched_cells()) == groups
    cells = [module for module in model.modules() if isinstance(module, ChoiceCell)]
    assert len(cells) == 2 * sum(map(len, model.searched_cells().values()))
    assert all(cell.architecture is model.architecture for cell in cells)
    twin = copy.deepcopy(model)
    assert all(
        cell.architecture is twin.architecture
        for cell in twin.modules()
        if isinstance(cell, ChoiceCell)
    )


@every
@pytest.mark.parametrize(
    ('mixing', 'auxiliary'),
    [(dict(type='PartialChannels', k=2), None), (None, dict(type='AuxiliarySkip'))],
    ids=['partial', 'auxiliary'],
)
def test_mixings_and_branches_of_heads_serve_maps(kind, mixing, auxiliary):
    model = simclr(kind, mixing=mixing, auxiliary=auxiliary)
    plain = simclr(kind)
    data = batch()
    loss = loss_of(model, data)
    assert loss.isfinite() and not torch.equal(loss, loss_of(plain, data))
    if auxiliary:
        model.architecture.auxiliary = 0.0
        assert torch.equal(loss_of(model, data), loss_of(plain, data))


def test_a_mixing_that_leaves_too_few_channels_is_refused():
    with pytest.raises(ValueError, match=r'PartialChannels leaves candidates 2 channels of 8, wh'):
        simclr('resnet', mixing=dict(type='PartialChannels', k=4))


def test_backbone_and_head_are_searched_together():
    model, data = build('simclr', backbone=dict(MIXED['mobilenet'], img_size=16)), batch()
    assert list(model.architecture.choices) == ['backbone', 'projector']
    twin = copy.deepcopy(model)
    gradients = alpha_gradients(model, data, model.architecture.alphas())[1]
    for alpha in twin.architecture.alphas():
        alpha.requires_grad_(True)
    loss_of(twin, data).backward()
    for gradient, alpha in zip(gradients, twin.architecture.alphas(), strict=True):
        assert torch.equal(gradient, alpha.grad) and gradient.abs().sum() > 0


def test_maps_of_stages_are_those_asked_for():
    net = alone(MIXED['resnet'], space=None, out_indices=(0, 1))
    maps = net(torch.randn(2, 3, 16, 16))
    assert [tuple(m.shape) for m in maps] == [(2, 8, 16, 16), (2, 16, 8, 8)]


def test_a_searched_backbone_is_gone_back_through_and_one_that_is_not_is_not():
    ratios = {}
    for name, backbone in (('searched', None), ('fixed', dict(space=None))):
        config = {**MIXED['mobilenet'], 'img_size': 16, **(backbone or {})}
        model, data = build('simclr', backbone=config), batch()
        with torch.no_grad(), FlopCounterMode(display=False) as forward:
            loss_of(model, data)
        with FlopCounterMode(display=False) as step:
            alpha_gradients(model, data, model.architecture.alphas())
        ratios[name] = step.get_total_flops() / forward.get_total_flops()
    # The whole again but for stem and input of the first block; the head alone.
    assert 1.4 < ratios['searched'] < 2 and ratios['fixed'] < 1.1
