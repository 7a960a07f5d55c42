# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Cells of choices, which read their weights from an owner of alpha, and their discrete form."""

import copy

import pytest
import torch

from nasiam_mm.architecture.alpha import Architecture
from nasiam_mm.architecture.choice import op_choices
from nasiam_mm.architecture.genotype import Decision
from nasiam_mm.models.choice import ChoiceCell, FixedCell
from nasiam_mm.ops.candidates import SPACES, LayerShape, layer_shapes
from tests.small import top_k

SHAPES = layer_shapes(6, [6, 4, 4, 6], plain_output=True)
ABSENT = torch.zeros(4, 7, dtype=torch.bool)
# At the output the four linear_bn_* and identity are one linear map, held at position 0.
ABSENT[3, [1, 2, 3, 6]] = True


class Owner(torch.nn.Module):
    """Owner of alpha and the cell that reads it, as a framework holds them."""

    def __init__(self, space, shapes=SHAPES):
        super().__init__()
        self.cell = ChoiceCell('head', SPACES[space], shapes)
        choices = op_choices('head', SPACES[space], shapes)
        self.architecture = Architecture({'head': choices})
        self.cell.bind(self.architecture)

    @property
    def alpha(self):
        return self.architecture.alpha('head')


@pytest.fixture(params=list(SPACES))
def owner(request):
    return Owner(request.param)


def discretised(owner, k=1):
    """Fixed cell of the top of alpha, with the searched cell's weights."""
    decisions = top_k(owner.architecture, 'SimCLR', k).of('head')
    fixed = FixedCell(owner.cell.shapes, decisions)
    for ours, theirs in zip(fixed.layers, owner.cell.layers, strict=True):
        for name, op in ours.items():
            op.load_state_dict(theirs.ops[name].state_dict())
    return fixed


def test_layer_shapes_chain():
    assert layer_shapes(2048, [512, 512, 2048], plain_output=True) == (
        LayerShape(2048, 512),
        LayerShape(512, 512),
        LayerShape(512, 2048, True),
    )
    assert layer_shapes(512, [128]) == (LayerShape(512, 128, False),)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ((512, []), 'widths of a cell must name at least one layer'),
        ((0, [4]), 'in_channels of a cell must be a positive integer, got 0'),
        ((4, [4, -2]), r'widths\[1\] of a cell must be a positive integer, got -2'),
        ((4, [True]), r'widths\[0\] of a cell must be a positive integer, got True'),
        ((4, [4.5]), r'widths\[0\] of a cell must be a positive integer, got 4.5'),
        ((None, [4]), 'in_channels of a cell must be a positive integer, got None'),
    ],
)
def test_layer_shapes_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        layer_shapes(*arguments)


def test_alpha_starts_at_zero_and_mixes_uniformly(owner):
    assert owner.alpha.shape == (4, len(owner.cell.space)) and not owner.alpha.any()
    for row, layer in zip(owner.cell.mixing_weights(), owner.cell.layers, strict=True):
        present = list(layer.candidates)
        assert row[present].tolist() == pytest.approx([1 / len(present)] * len(present))
        assert row.sum().item() == pytest.approx(1)


def test_mixing_weights_are_the_softmax_over_the_candidates(owner):
    torch.nn.init.normal_(owner.alpha)
    weights = owner.cell.mixing_weights()
    for n, layer in enumerate(owner.cell.layers):
        total = sum(owner.alpha[n, k].exp() for k in layer.candidates)
        for k in range(len(owner.cell.space)):
            expected = owner.alpha[n, k].exp() / total if k in layer.candidates else 0.0
            assert float(weights[n, k]) == pytest.approx(float(expected))


def test_absent_candidates_have_weight_zero_and_no_gradient():
    owner = Owner('S+')
    torch.nn.init.normal_(owner.alpha)
    assert torch.equal(owner.architecture.present('head'), ~ABSENT)
    assert torch.equal(owner.cell.mixing_weights() == 0, ABSENT)
    owner.alpha.requires_grad_()
    owner.cell(torch.randn(8, 6)).square().sum().backward()
    assert torch.equal(owner.alpha.grad == 0, ABSENT)


def test_gradient_of_alpha_is_that_of_the_softmax():
    owner = Owner('S', SHAPES[:1]).double()
    cell = owner.cell
    torch.nn.init.normal_(owner.alpha)
    x = torch.randn(8, 6, dtype=torch.double)
    grad_out = torch.randn(8, 6, dtype=torch.double)
    weights = cell.mixing_weights()[0].detach()
    slopes = torch.stack(
        [(grad_out * copy.deepcopy(op)(x)).sum() for op in cell.layers[0].ops.values()]
    )
    owner.alpha.requires_grad_()
    cell(x).backward(grad_out)
    expected = weights * (slopes - (weights * slopes).sum())
    assert torch.allclose(owner.alpha.grad[0], expected, atol=1e-12)


def test_forward_chains_the_layers(owner):
    torch.nn.init.normal_(owner.alpha)
    x = torch.randn(8, 6)
    expected, layers = x, copy.deepcopy(owner.cell).layers
    for layer, alpha in zip(layers, owner.alpha, strict=True):
        present = list(layer.candidates)
        mixing = torch.zeros(len(alpha))
        mixing[present] = alpha[present].softmax(0)
        expected = layer(expected, mixing)
    assert torch.allclose(owner.cell(x), expected, atol=1e-6)


def test_weight_step_leaves_alpha_alone(owner):
    owner.cell(torch.randn(8, 6)).square().sum().backward()
    assert not owner.alpha.requires_grad and owner.alpha.grad is None
    assert not any('alpha' in name for name, _ in owner.named_parameters())


def test_a_cell_holds_no_alpha(owner):
    assert not any('alpha' in name for name in owner.cell.state_dict())
    assert [name for name in owner.state_dict() if 'alpha' in name] == ['architecture.alpha_head']


def test_a_cell_of_no_owner_says_what_is_missing():
    cell = ChoiceCell('projector', SPACES['S'], SHAPES)
    with pytest.raises(RuntimeError, match='the projector to search belongs to no algorithm') as e:
        cell(torch.randn(8, 6))
    assert '\n' not in str(e.value)


def test_a_copy_of_a_cell_mixes_with_the_alpha_of_the_moment(owner):
    twin = copy.deepcopy(owner.cell)
    torch.nn.init.normal_(owner.alpha)
    x = torch.randn(8, 6)
    # Equal weights, and alpha that changed after the copy.
    assert torch.equal(twin(x), owner.cell(x))
    with torch.no_grad():
        next(twin.parameters()).add_(1)
    assert not torch.equal(twin(x), owner.cell(x))


def test_state_dict_round_trip(owner):
    torch.nn.init.normal_(owner.alpha)
    owner.cell(torch.randn(8, 6))
    twin = Owner(next(name for name, space in SPACES.items() if space == owner.cell.space))
    twin.load_state_dict(owner.state_dict(), strict=True)
    x = torch.randn(8, 6)
    assert torch.equal(twin.eval().cell(x), owner.eval().cell(x))


@pytest.mark.parametrize('seed', range(5))
def test_one_hot_alpha_equals_the_discretised_cell(owner, seed):
    torch.manual_seed(seed)
    owner.alpha.fill_(-1e9)
    for row, layer in zip(owner.alpha, owner.cell.layers, strict=True):
        present = list(layer.candidates)
        row[present[torch.randint(len(present), ()).item()]] = 1e9
    fixed, cell = discretised(owner), owner.cell
    for _ in range(2):
        x = torch.randn(8, 6)
        assert torch.equal(fixed.train()(x), cell.train()(x))
    assert torch.equal(fixed.eval()(x), cell.eval()(x))
    assert all(
        torch.equal(value, theirs.ops[name].state_dict()[key])
        for ours, theirs in zip(fixed.layers, cell.layers, strict=True)
        for name, op in ours.items()
        for key, value in op.state_dict().items()
    )


def test_of_two_operations_the_outputs_add():
    owner = Owner('S', [LayerShape(6, 4)])
    owner.alpha.copy_(torch.tensor([[1e9, -1e9, -1e9, 1e9]]))
    fixed = discretised(owner, k=2)
    assert [list(layer) for layer in fixed.layers] == [['linear_bn_relu', 'linear']]
    x = torch.randn(8, 6)
    first, second = (copy.deepcopy(op) for op in fixed.layers[0].values())
    expected = first(x) + second(x)
    assert torch.equal(fixed(x), expected)
    # Mixing halves both; a power of two is exact.
    assert torch.equal(2 * owner.cell(x), expected)


def test_two_options_that_are_one_function_are_one_operation():
    decision = Decision(SPACES['S+'], ('linear_bn_relu', 'identity'))
    (layer,) = FixedCell([LayerShape(6, 4, True)], [decision]).layers
    assert list(layer) == ['linear']


def test_fixed_cell_counts():
    chosen = ['identity', 'max_pool_3_bn', 'linear_bn_silu', 'identity']
    fixed = FixedCell(SHAPES, [Decision(SPACES['S+'], (name,)) for name in chosen])
    counts = [sum(p.numel() for p in layer.parameters()) for layer in fixed.layers]
    assert counts == [0, 6 * 4 + 2 * 4, 4 * 4 + 2 * 4, 4 * 6 + 6]
