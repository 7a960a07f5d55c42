# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Choice layer against the explicit sum of NASiam, eq. 4."""

import copy

import pytest
import torch

from nasiam_mm.models.choice import ChoiceLayer
from nasiam_mm.ops.candidates import SPACES, LayerShape

SHAPES = [LayerShape(6, 6), LayerShape(6, 4), LayerShape(6, 4, True)]


@pytest.fixture(params=SHAPES, ids=str)
def shape(request):
    return request.param


@pytest.fixture(params=list(SPACES))
def space(request):
    return SPACES[request.param]


def outputs_of(layer, x):
    """Each candidate alone, on copies: the layer's BatchNorm statistics stay."""
    ops = copy.deepcopy(layer.ops)
    return {k: ops[name](x) for k, name in layer.candidates.items()}


def test_equals_the_explicit_sum(space, shape):
    layer = ChoiceLayer(space, shape).double()
    x = torch.randn(8, shape.in_channels, dtype=torch.double)
    weights = torch.randn(len(space), dtype=torch.double).softmax(0)
    expected = torch.zeros(8, shape.out_channels, dtype=torch.double)
    for k, output in outputs_of(layer, x).items():
        expected += weights[k] * output
    assert torch.allclose(layer(x, weights), expected, atol=1e-14)


def test_gradient_of_a_weight_is_the_inner_product(space, shape):
    layer = ChoiceLayer(space, shape).double()
    x = torch.randn(8, shape.in_channels, dtype=torch.double)
    weights = torch.rand(len(space), dtype=torch.double, requires_grad=True)
    grad_out = torch.randn(8, shape.out_channels, dtype=torch.double)
    outputs = outputs_of(layer, x)
    layer(x, weights).backward(grad_out)
    for k in range(len(space)):
        expected = (grad_out * outputs[k]).sum() if k in outputs else torch.tensor(0.0)
        assert weights.grad[k].item() == pytest.approx(expected.item(), rel=1e-10)


def test_weights_of_positions_without_a_candidate_do_nothing():
    layer = ChoiceLayer(SPACES['S'], LayerShape(6, 4, True))
    x = torch.randn(8, 6)
    assert torch.equal(
        layer(x, torch.tensor([0.2, 0.3, 0.5, 0.0])), layer(x, torch.tensor([0.2, 0.3, 0.5, 9.0]))
    )


def test_owns_ops_of_its_candidates_and_no_architecture_parameter():
    layer = ChoiceLayer(SPACES['S+'], LayerShape(6, 4, True))
    assert list(layer.ops) == ['linear', 'max_pool_3_bn', 'avg_pool_3_bn']
    # Three linear maps with bias, pools and output without BatchNorm.
    assert sum(p.numel() for p in layer.parameters()) == 3 * (6 * 4 + 4)


def test_fused_equals_plain(space, shape):
    """Outputs, statistics and every gradient; in float64, so that no kink is crossed."""
    plain = ChoiceLayer(space, shape).double()
    fused = ChoiceLayer(space, shape, fused=True).double()
    fused.load_state_dict(plain.state_dict())
    x = torch.randn(8, shape.in_channels, dtype=torch.double, requires_grad=True)
    weights = torch.rand(len(space), dtype=torch.double, requires_grad=True)
    results = []
    for layer in (plain, fused):
        output = layer(x, weights)
        learned = [x, weights, *layer.parameters()]
        results.append([output, *torch.autograd.grad(output.square().sum(), learned)])
        results[-1] += [b.double() for b in layer.buffers()]
    for a, b in zip(*results, strict=True):
        assert torch.allclose(a, b, rtol=1e-11, atol=1e-12)


def test_fused_maps_what_shares_its_input_in_one_product():
    shared = {
        name: ChoiceLayer(SPACES[name], LayerShape(6, 4), fused=True).sharing for name in SPACES
    }
    # Where the width changes every candidate begins with a linear map, identity being one.
    assert {name: len(s) for name, s in shared.items()} == {'S': 4, "S'": 2, 'S+': 7}
    assert ChoiceLayer(SPACES['S+'], LayerShape(6, 6), fused=True).sharing == list(SPACES['S+'][:4])
    # A single one shares with nobody.
    assert ChoiceLayer(SPACES['S'], LayerShape(6, 6), fused=True).sharing == []
    products = []

    class Count(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            if func in (torch.bmm, torch.nn.functional.linear):
                products.append(func.__name__)
            return func(*args, **(kwargs or {}))

    layer = ChoiceLayer(SPACES['S+'], LayerShape(6, 4), fused=True)
    with Count():
        layer(torch.randn(8, 6), torch.rand(7))
    assert products == ['bmm']
