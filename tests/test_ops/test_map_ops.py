# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Operations of maps equal torchvision's or plain arithmetic, and fit where they are said to."""

import pytest
import torch
import torch.nn.functional as F
from torchvision.models.mobilenetv2 import InvertedResidual
from torchvision.models.resnet import BasicBlock, Bottleneck

from nasiam_mm.architecture.choice import op_choices
from nasiam_mm.ops.candidates import CANDIDATE_OPS, build_at, candidate_labels, distinct_candidates
from nasiam_mm.ops.shapes import LayerShape, MapShape

MAPS = sorted(
    n for n, op in CANDIDATE_OPS.module_dict.items() if 'maps' in vars(op).get('kinds', ())
)
SHAPES = [MapShape(8, 8, 1, 7), MapShape(8, 8, 2, 7), MapShape(8, 12, 1, 8), MapShape(8, 12, 2, 8)]
CELLS = [
    *('sep_conv_3', 'sep_conv_5', 'dil_conv_3', 'dil_conv_5'),
    *('max_pool_3x3', 'avg_pool_3x3', 'identity', 'factorized_reduce', 'none'),
]


def stirred(op):
    """An operation in float64 whose BatchNorm's weights are not those of the start."""
    torch.manual_seed(0)
    for weight in op.parameters():
        torch.nn.init.normal_(weight, std=0.5)
    return op.double().train()


def maps(shape, count=3):
    torch.manual_seed(1)
    return torch.randn(count, *shape.taken[1:], dtype=torch.float64)


@pytest.mark.parametrize('shape', SHAPES, ids=str)
@pytest.mark.parametrize('name', MAPS)
def test_what_is_offered_gives_the_shape_it_should(name, shape):
    # The linear candidates of test_ops.py have no like here: an operation fits or is not there.
    try:
        there = candidate_labels([name], shape)
    except ValueError as error:
        assert 'fits a layer of 8 to' in str(error)
        return
    assert there == {name: name}
    assert tuple(build_at(name, shape)(torch.randn(shape.taken)).shape) == shape.given


def theirs_of(name, shape):
    down = None
    if shape.in_channels != shape.out_channels or shape.stride == 2:
        down = torch.nn.Sequential(
            torch.nn.Conv2d(shape.in_channels, shape.out_channels, 1, shape.stride, bias=False),
            torch.nn.BatchNorm2d(shape.out_channels),
        )
    if name == 'basic_3':
        return BasicBlock(shape.in_channels, shape.out_channels, shape.stride, down)
    if name == 'bottleneck_3':
        return Bottleneck(shape.in_channels, shape.out_channels // 4, shape.stride, down)
    return InvertedResidual(shape.in_channels, shape.out_channels, shape.stride, 6)


@pytest.mark.parametrize('shape', SHAPES, ids=str)
@pytest.mark.parametrize('name', ['basic_3', 'bottleneck_3', 'mbconv_3_e6'])
def test_blocks_are_torchvisions_by_name_and_bit(name, shape):
    op, theirs = stirred(build_at(name, shape)), theirs_of(name, shape).double()
    theirs.load_state_dict(op.state_dict(), strict=True)
    assert torch.equal(op(maps(shape)), theirs.train()(maps(shape)))


def batch_norm(x, norm):
    mean, var = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), correction=0, keepdim=True)
    weight, bias = norm.weight[:, None, None], norm.bias[:, None, None]
    return (x - mean) / (var + 1e-5).sqrt() * weight + bias


def separable(x, weights, kernel, stride, dilation):
    depthwise, pointwise, norm = weights
    pad = dilation * (kernel - 1) // 2
    x = F.conv2d(x.clamp_min(0), depthwise.weight, None, stride, pad, dilation, x.size(1))
    return batch_norm(torch.einsum('nchw,dc->ndhw', x, pointwise.weight[:, :, 0, 0]), norm)


@pytest.mark.parametrize('stride', [1, 2])
@pytest.mark.parametrize('kernel', [3, 5])
def test_convolutions_of_edges(kernel, stride):
    shape = MapShape(8, 8, stride, 9)
    x = maps(shape)
    op = stirred(build_at(f'sep_conv_{kernel}', shape))
    once = separable(x, op[1:4], kernel, stride, 1)
    torch.testing.assert_close(op(x), separable(once, op[5:8], kernel, 1, 1))
    op = stirred(build_at(f'dil_conv_{kernel}', shape))
    torch.testing.assert_close(op(x), separable(x, op[1:4], kernel, stride, 2))


@pytest.mark.parametrize('stride', [1, 2])
@pytest.mark.parametrize('kind', ['max', 'avg'])
def test_pools_of_edges_look_at_what_is_there(kind, stride):
    shape = MapShape(4, 4, stride, 5)
    x, op = maps(shape), stirred(build_at(f'{kind}_pool_3x3', shape))
    rows = range(0, 5, stride)
    windows = [x[:, :, max(0, i - 1) : i + 2, max(0, j - 1) : j + 2] for i in rows for j in rows]
    take = (lambda w: w.amax((2, 3))) if kind == 'max' else (lambda w: w.mean((2, 3)))
    pooled = torch.stack([take(w) for w in windows], 2).unflatten(2, (len(rows), len(rows)))
    torch.testing.assert_close(op(x), batch_norm(pooled, op[1]))


def test_the_skip_of_a_reduction_reads_both_grids():
    shape = MapShape(6, 6, 2, 8)
    x, op = maps(shape), stirred(build_at('factorized_reduce', shape))
    positive = x.clamp_min(0)
    halves = [
        torch.einsum('nchw,dc->ndhw', grid, half.weight[:, :, 0, 0])
        for grid, half in (
            (positive[:, :, ::2, ::2], op.even),
            (positive[:, :, 1::2, 1::2], op.odd),
        )
    ]
    torch.testing.assert_close(op(x), batch_norm(torch.cat(halves, 1), op.norm))


def test_no_edge_is_zero_and_an_identity_the_input():
    x = torch.randn(2, 4, 6, 6)
    assert torch.equal(build_at('none', MapShape(4, 4, 2, 6))(x), torch.zeros(2, 4, 3, 3))
    assert build_at('identity', MapShape(4, 4, 1, 6))(x) is x


def test_each_edge_has_the_skip_that_fits_and_candidates_keep_their_places():
    stays, halves = MapShape(8, 8, 1, 8), MapShape(8, 8, 2, 8)
    normal, reduction = op_choices('normal', CELLS, [stays, halves])
    assert normal.present == (*[True] * 7, False, True) and normal.identity == 6
    assert reduction.present == (*[True] * 6, False, True, True) and reduction.identity is None
    assert distinct_candidates(CELLS, halves)[7] == 'factorized_reduce'


def test_all_candidates_of_an_edge_differ_as_functions():
    for stride in (1, 2):
        shape = MapShape(8, 8, stride, 8)
        outputs = [
            stirred(build_at(name, shape))(maps(shape)) for name in candidate_labels(CELLS, shape)
        ]
        for n, left in enumerate(outputs):
            assert not any(torch.allclose(left, right) for right in outputs[:n])


@pytest.mark.parametrize(
    ('space', 'shape', 'message'),
    [
        (['linear_bn_relu'], MapShape(8, 8), "operation 'linear_bn_relu' is one of vectors"),
        (['basic_3'], LayerShape(8, 8), "operation 'basic_3' is one of maps, where a layer of vec"),
        (['identity'], MapShape(8, 12), r"none of \['identity'\] fits a layer of 8 to 12 channels"),
    ],
)
def test_an_operation_elsewhere_is_refused_in_one_line(space, shape, message):
    with pytest.raises(ValueError, match=message) as error:
        candidate_labels(space, shape)
    assert '\n' not in str(error.value)


def test_an_own_operation_of_the_wrong_shape_is_refused():
    from nasiam_mm.ops.candidates import operation_of

    @CANDIDATE_OPS.register_module(name='unstrided')
    @operation_of('maps')
    def build(in_channels, out_channels, stride=1):
        return torch.nn.Conv2d(in_channels, out_channels, 1)

    try:
        with pytest.raises(ValueError, match=r'maps \(2, 8, 8, 8\) to \(2, 8, 8, 8\); it must g'):
            candidate_labels(['unstrided'], MapShape(8, 8, 2, 8))
    finally:
        CANDIDATE_OPS.module_dict.pop('unstrided')
