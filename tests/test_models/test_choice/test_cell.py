# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Search cells, and the cells their discretisation gives."""

import copy

import pytest
import torch

from nasiam_mm.architecture.genotype import derive_cell
from nasiam_mm.models.choice.cell import GenotypeCell, SearchCell
from nasiam_mm.ops.candidates import SPACES, LayerShape, layer_shapes

SHAPES = layer_shapes(6, [6, 4, 4, 6], plain_output=True)


@pytest.fixture(params=list(SPACES))
def cell(request):
    return SearchCell(SPACES[request.param], SHAPES)


def discretised(cell, edge=False):
    """Genotype cell of the top of alpha, with the search cell's weights."""
    genotype = derive_cell(cell.alpha, cell.space, cell.shapes, edge)
    fixed = GenotypeCell(genotype.shapes, genotype.ops)
    for ours, theirs in zip(fixed.layers, cell.layers, strict=True):
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


def test_alpha_starts_at_zero_and_mixes_uniformly(cell):
    assert cell.alpha.shape == (4, len(cell.space)) and not cell.alpha.any()
    for row, layer in zip(cell.mixing_weights(), cell.layers, strict=True):
        present = list(layer.candidates)
        assert row[present].tolist() == pytest.approx([1 / len(present)] * len(present))
        assert row.sum().item() == pytest.approx(1)


def test_mixing_weights_are_the_softmax_over_the_candidates(cell):
    torch.nn.init.normal_(cell.alpha)
    weights = cell.mixing_weights()
    for n, layer in enumerate(cell.layers):
        total = sum(cell.alpha[n, k].exp() for k in layer.candidates)
        for k in range(len(cell.space)):
            expected = cell.alpha[n, k].exp() / total if k in layer.candidates else 0.0
            assert float(weights[n, k]) == pytest.approx(float(expected))


def test_absent_candidates_have_weight_zero_and_no_gradient():
    cell = SearchCell(SPACES['S+'], SHAPES)
    torch.nn.init.normal_(cell.alpha)
    absent = torch.zeros(4, 7, dtype=torch.bool)
    # At the output the four linear_bn_* and identity are one linear map, held at position 0.
    absent[3, [1, 2, 3, 6]] = True
    assert torch.equal(cell.mixing_weights() == 0, absent)
    cell.alpha.requires_grad_()
    cell(torch.randn(8, 6)).square().sum().backward()
    assert torch.equal(cell.alpha.grad == 0, absent)


def test_gradient_of_alpha_is_that_of_the_softmax():
    cell = SearchCell(SPACES['S'], SHAPES[:1]).double()
    torch.nn.init.normal_(cell.alpha)
    x = torch.randn(8, 6, dtype=torch.double)
    grad_out = torch.randn(8, 6, dtype=torch.double)
    weights = cell.mixing_weights()[0].detach()
    slopes = torch.stack(
        [(grad_out * copy.deepcopy(op)(x)).sum() for op in cell.layers[0].ops.values()]
    )
    cell.alpha.requires_grad_()
    cell(x).backward(grad_out)
    expected = weights * (slopes - (weights * slopes).sum())
    assert torch.allclose(cell.alpha.grad[0], expected, atol=1e-12)


def test_forward_chains_the_layers(cell):
    torch.nn.init.normal_(cell.alpha)
    x = torch.randn(8, 6)
    expected, twin = x, copy.deepcopy(cell)
    for layer, weights in zip(twin.layers, twin.alpha, strict=True):
        present = list(layer.candidates)
        mixing = torch.zeros(len(weights))
        mixing[present] = weights[present].softmax(0)
        expected = layer(expected, mixing)
    assert torch.allclose(cell(x), expected, atol=1e-6)


def test_weight_step_leaves_alpha_alone(cell):
    cell(torch.randn(8, 6)).square().sum().backward()
    assert not cell.alpha.requires_grad and cell.alpha.grad is None


def test_follower_mixes_with_the_alpha_of_the_moment(cell):
    pair = torch.nn.ModuleDict({'online': cell, 'target': copy.deepcopy(cell)})
    pair['target'].follow(cell)
    torch.nn.init.normal_(cell.alpha)
    x = torch.randn(8, 6)
    # Equal weights, and alpha that changed after the copy.
    assert torch.equal(pair['target'](x), cell(x))
    own = dict(pair['target'].named_parameters())
    assert 'alpha' not in own and len(own) == len(list(cell.parameters())) - 1
    assert [name for name in pair.state_dict() if 'alpha' in name] == ['online.alpha']
    twin = copy.deepcopy(pair)
    assert twin['target'].leader is twin['online']


def test_deepcopy_is_independent(cell):
    twin = copy.deepcopy(cell)
    state = {name: value.clone() for name, value in cell.state_dict().items()}
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.add_(1)
    twin(torch.randn(8, 6))
    assert all(torch.equal(value, state[name]) for name, value in cell.state_dict().items())
    assert not torch.equal(twin.alpha, cell.alpha)


def test_state_dict_round_trip(cell):
    torch.nn.init.normal_(cell.alpha)
    cell(torch.randn(8, 6))
    state = cell.state_dict()
    # The mask follows from space and widths; a checkpoint holds the one alpha.
    assert 'absent' not in state and [k for k in state if 'alpha' in k] == ['alpha']
    twin = SearchCell(cell.space, cell.shapes)
    twin.load_state_dict(state, strict=True)
    x = torch.randn(8, 6)
    assert torch.equal(twin.eval()(x), cell.eval()(x))


@pytest.mark.parametrize('seed', range(5))
def test_one_hot_alpha_equals_the_discretised_cell(cell, seed):
    torch.manual_seed(seed)
    cell.alpha.data.fill_(-1e9)
    for row, layer in zip(cell.alpha.data, cell.layers, strict=True):
        present = list(layer.candidates)
        row[present[torch.randint(len(present), ()).item()]] = 1e9
    fixed = discretised(cell)
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


def test_edge_adds_two_operations():
    cell = SearchCell(SPACES['S'], [LayerShape(6, 4)])
    cell.alpha.data = torch.tensor([[1e9, -1e9, -1e9, 1e9]])
    fixed = discretised(cell, edge=True)
    assert [list(layer) for layer in fixed.layers] == [['linear_bn_relu', 'linear']]
    x = torch.randn(8, 6)
    first, second = (copy.deepcopy(op) for op in fixed.layers[0].values())
    expected = first(x) + second(x)
    assert torch.equal(fixed(x), expected)
    # Mixing halves both; a power of two is exact.
    assert torch.equal(2 * cell(x), expected)


def test_genotype_cell_counts():
    fixed = GenotypeCell(
        SHAPES, [('identity',), ('max_pool_3_bn',), ('linear_bn_silu',), ('linear',)]
    )
    counts = [sum(p.numel() for p in layer.parameters()) for layer in fixed.layers]
    assert counts == [0, 6 * 4 + 2 * 4, 4 * 4 + 2 * 4, 4 * 6 + 6]
