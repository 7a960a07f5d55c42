# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Mixings and auxiliary branches: neutral settings change nothing, the others what they say."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from nasiam_mm.models.auxiliary import AuxiliarySkip
from nasiam_mm.models.choice import ChoiceLayer
from nasiam_mm.models.mixing import MIXINGS, PartialChannels
from nasiam_mm.ops.candidates import SPACES, LayerShape
from nasiam_mm.search.gradient.gradients import alpha_gradients
from tests.small import WIDTH, batch, build, tensors

GUMBEL = dict(type='GumbelStraightThrough')
FRAMEWORKS = ['simsiam', 'simclr', 'mocov2', 'byol', 'swav']


def loss_of(model, data):
    return model.loss(data['inputs'], None, update_state=False)['loss']


def same_step(changes, framework='simclr'):
    """Loss and gradients of the weights of two models, plain and with the changes."""
    results = []
    torch.manual_seed(5)
    data = batch()
    for more in ({}, changes):
        model = build(framework, **more)
        loss = loss_of(model, data)
        weights = [p for p in model.parameters() if p.requires_grad]
        results.append([loss.detach(), *torch.autograd.grad(loss, weights)])
    return results


def test_one_part_of_the_channels_is_all_of_them_bit_for_bit():
    plain, partial = same_step(dict(mixing=dict(type='PartialChannels', k=1)))
    assert len(plain) == len(partial)
    assert all(map(torch.equal, plain, partial))


def test_an_auxiliary_branch_of_no_strength_is_none_bit_for_bit():
    torch.manual_seed(5)
    data = batch()
    plain, beside = build('byol'), build('byol', auxiliary=dict(type='AuxiliarySkip'))
    beside.architecture.auxiliary = 0.0
    assert torch.equal(loss_of(plain, data), loss_of(beside, data))
    beside.architecture.auxiliary = 0.5
    assert not torch.equal(loss_of(plain, data), loss_of(beside, data))


def test_channels_that_pass_by_are_the_input_s_shuffled():
    layer = ChoiceLayer(SPACES['S'], LayerShape(12, 12), mixing=PartialChannels(k=4)).double()
    x, weights = torch.randn(8, 12, dtype=torch.double), torch.full((4,), 0.25).double()
    assert all(p.shape[0] == 3 for p in layer.parameters())
    mixed = sum(weights[k] * layer.ops[name](x[:, :3]) for k, name in layer.candidates.items())
    output = layer(x, weights)
    # Of k parts of the channels, the first of each come first, then the second of each.
    for part in range(4):
        for channel in range(3):
            source = mixed[:, channel] if part == 0 else x[:, 3 * part + channel]
            torch.testing.assert_close(output[:, channel * 4 + part], source)


@pytest.mark.parametrize('shape', [LayerShape(12, 8), LayerShape(10, 10), LayerShape(12, 6, True)])
def test_a_layer_that_cannot_be_divided_is_mixed_in_full(shape):
    mixing = PartialChannels(k=4)
    assert mixing.inner(shape) == shape
    torch.manual_seed(0)
    partial = ChoiceLayer(SPACES['S'], shape, mixing=mixing)
    torch.manual_seed(0)
    full = ChoiceLayer(SPACES['S'], shape)
    x, weights = torch.randn(8, shape.in_channels), torch.rand(4)
    assert torch.equal(partial(x, weights), full(x, weights))


def called(model):
    """Names of the candidates that one forward pass of the online heads runs, per layer."""
    runs = {}
    for head, module in model.searched_heads().items():
        for n, layer in enumerate(module.cell.layers):
            for name, op in layer.ops.items():
                seen = runs.setdefault(f'{head}.{n}', [])
                op.register_forward_hook(lambda *_, seen=seen, name=name: seen.append(name))
    return runs


@pytest.mark.parametrize('framework', FRAMEWORKS)
@pytest.mark.parametrize('role', ['alpha', 'weights'])
def test_a_single_path_runs_what_was_drawn_and_nothing_else(framework, role):
    model = build(framework, relaxation=GUMBEL, mixing=dict(type='SinglePath'))
    model.architecture.sample(3, 1, role)
    runs = called(model)
    loss_of(model, batch())
    for head, module in model.searched_heads().items():
        weights = model.architecture.weights(head).detach()
        for n, layer in enumerate(module.cell.layers):
            (k,) = weights[n].nonzero().flatten().tolist()
            assert set(runs[f'{head}.{n}']) == {layer.candidates[k]}


@pytest.mark.parametrize('framework', FRAMEWORKS)
def test_a_single_path_gives_what_the_same_draw_gives_in_full(framework):
    torch.manual_seed(5)
    data = batch()
    losses = []
    for mixing in ('SinglePath', 'FullMixing'):
        model = build(framework, relaxation=GUMBEL, mixing=dict(type=mixing))
        model.architecture.sample(3, 1, 'weights')
        losses.append(loss_of(model, data))
    torch.testing.assert_close(*losses)


def test_only_the_gates_compared_are_run():
    model = build('simclr', relaxation=dict(type='TwoPathGates'), mixing=dict(type='SinglePath'))
    for role, count in (('alpha', 2), ('weights', 1)):
        model.architecture.sample(0, 0, role)
        assert {len(row) for row in model.architecture.running('projector')} == {count}


def test_a_sampled_path_costs_about_one_candidate():
    def flops(**changes):
        model = build('simclr', **changes)
        model.architecture.sample(0, 0, 'weights')
        with FlopCounterMode(display=False) as counter:
            model.neck([torch.randn(2, WIDTH, 1, 1)])
        return counter.get_total_flops()

    space = ['linear_bn_relu', 'linear_bn_silu', 'linear_bn_elu', 'linear_bn_hardswish']
    full = flops(space=space)
    path = flops(space=space, relaxation=GUMBEL, mixing=dict(type='SinglePath'))
    output = 2 * 2 * WIDTH * 32  # 2NCD of the fixed output layer
    assert (full - output) == 4 * (path - output)


def test_a_path_needs_a_draw():
    with pytest.raises(ValueError, match='runs what was drawn, but Softmax draws nothing'):
        build('simclr', mixing=dict(type='SinglePath'))


@pytest.mark.parametrize('k', [0, -1, 2.0, True, None])
def test_numbers_of_parts_that_cannot_be(k):
    with pytest.raises(ValueError, match='PartialChannels.k must be a positive integer'):
        PartialChannels(k=k)


def test_the_auxiliary_branch_is_a_skip_or_a_frozen_orthonormal_map():
    x = torch.randn(5, 6)
    assert AuxiliarySkip(LayerShape(6, 6))(x) is x
    for shape in (LayerShape(6, 4), LayerShape(4, 6)):
        branch = AuxiliarySkip(shape)
        assert not list(branch.parameters())
        small = branch.map if shape.in_channels > shape.out_channels else branch.map.T
        torch.testing.assert_close(small @ small.T, torch.eye(4))
        assert branch(torch.randn(5, shape.in_channels)).shape == (5, shape.out_channels)


def test_the_auxiliary_branch_adds_its_share_to_each_layer():
    model = build('simclr', auxiliary=dict(type='AuxiliarySkip'))
    cell, owner = model.neck.cell, model.architecture
    owner.auxiliary = 0.3
    x = torch.randn(8, cell.shapes[0].in_channels)
    expected = x
    for layer, branch, weights in zip(
        cell.layers, cell.auxiliaries, owner.weights('projector'), strict=True
    ):
        expected = layer(expected, weights) + 0.3 * branch(expected)
    torch.testing.assert_close(cell(x), expected)
    # It is not of the run's random numbers either: the candidates begin as without it.
    beside = tensors(build('simclr', auxiliary=dict(type='AuxiliarySkip')))
    plain = tensors(build('simclr'))
    assert all(torch.equal(value, beside[name]) for name, value in plain.items())


def test_dropout_of_an_identity_is_a_function_of_the_step():
    model = build('simclr')
    owner, x = model.architecture, torch.ones(64, 32)
    assert owner.drop_out(x) is x
    owner.identity_dropout = 0.4
    state = torch.get_rng_state()
    seen = []
    for step in (0, 1, 0):
        owner.sample(1, step, 'weights')
        seen.append([owner.drop_out(x), owner.drop_out(x)])
    assert torch.equal(state, torch.get_rng_state())
    assert all(map(torch.equal, seen[0], seen[2]))
    assert not torch.equal(*seen[0]) and not torch.equal(seen[0][0], seen[1][0])
    torch.testing.assert_close(seen[0][0].unique(), torch.tensor([0.0, 1 / 0.6]))
    assert abs((seen[0][0] == 0).float().mean().item() - 0.4) < 0.05


def test_only_identities_are_dropped_out_of():
    layer = ChoiceLayer(SPACES['S'], LayerShape(6, 6))
    x, dropped = torch.randn(8, 6), []

    def drop_out(y):
        dropped.append(y)
        return torch.zeros_like(y)

    weights = torch.tensor([0.0, 0.0, 0.0, 1.0])
    assert torch.equal(layer(x, weights, None, drop_out), torch.zeros(8, 6))
    assert len(dropped) == 1 and dropped[0] is x
    assert isinstance(layer.ops['identity'], nn.Sequential)


def test_behind_one_path_alone_batchnorm_and_cosine_leave_alpha_no_gradient():
    """Why GDAS runs the others in an alpha step."""
    sizes = {}
    for sampled_in in (['alpha', 'weights'], ['weights']):
        mixing = dict(type='SinglePath', sampled_in=sampled_in)
        # Without a bias at the output, nothing behind the cell knows its scale.
        model = build('simclr', relaxation=GUMBEL, mixing=mixing).double()
        nn.init.zeros_(model.neck.output[0].bias)
        model.architecture.sample(3, 1, 'alpha')
        _, (gradient,) = alpha_gradients(
            model, batch(dtype=torch.double), model.architecture.alphas()
        )
        sizes[len(sampled_in)] = gradient.abs().max().item()
    assert sizes[2] < 1e-3 * sizes[1]


@pytest.mark.parametrize('sampled_in', [5, [['alpha']], 'alpha', None, ['weight']])
def test_steps_that_are_none(sampled_in):
    with pytest.raises(ValueError, match='SinglePath.sampled_in is a list of'):
        MIXINGS.build(dict(type='SinglePath', sampled_in=sampled_in))


@pytest.mark.parametrize('kind', ['relaxation', 'mixing', 'auxiliary'])
@pytest.mark.parametrize('value', ['Sigmoid', {}, [dict(type='Sigmoid')]])
def test_a_part_that_is_no_dict_with_a_type(kind, value):
    with pytest.raises(ValueError, match=f'model.{kind} must be a dict with a type'):
        build('simclr', **{kind: value})
