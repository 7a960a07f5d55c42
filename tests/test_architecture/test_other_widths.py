# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A genotype goes into heads of other widths as it is; what differs there is renamed in the head.

1. Every layer takes the widths of the recipe; nothing of the genotype changes.
2. Where identity now changes the width it is the linear map, and back.
3. Two chosen operations that are one function at the new widths are one operation.
4. A genotype of schema 1 does so too, though it held its widths.
"""

import pytest
import torch
from torch import nn

from nasiam_mm.architecture.genotype import Decision, Genotype, GenotypeError
from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.models.heads import HeadMLP
from nasiam_mm.ops.candidates import CANDIDATE_OPS, SPACES
from tests.reduced import ROOT

RELU, MAX, AVG, IDENTITY = S = SPACES['S']


def genotype(*chosen, head='projector', options=S, **provenance):
    chosen = [(one,) if isinstance(one, str) else one for one in chosen]
    decisions = {f'{head}.{n}.op': Decision(options, one) for n, one in enumerate(chosen)}
    return Genotype('SimSiam', decisions, provenance)


def head(given, in_channels, hidden_channels, cell_channels=None, **others):
    return HeadMLP(
        'projector', in_channels, hidden_channels, cell_channels,
        genotype=given, with_avg_pool=False, **others,
    )  # fmt: skip


def names(built):
    return [list(layer) for layer in built.cell.layers]


def maps(built):
    """Widths of the linear maps."""
    linears = [m for m in built.cell.modules() if isinstance(m, nn.Linear)]
    return [(m.in_features, m.out_features) for m in linears]


@pytest.mark.parametrize('width', [8, 32])
def test_layers_as_wide_as_the_features_follow_them(width):
    given = genotype(IDENTITY, RELU, AVG, decided_at={'projector': [[8, 8, False]] * 3})
    built = head(given, width, width)
    assert names(built) == [[IDENTITY], [RELU], [AVG]]
    assert maps(built) == [(width, width)]
    assert built((torch.randn(4, width),))[0].shape == (4, width)


def test_identity_becomes_linear_and_back():
    # As SimCLR's, whose hidden width is that of the framework.
    given = genotype(IDENTITY, IDENTITY, RELU)
    narrow, wide = head(given, 16, 16, 4), head(given, 32, 16, 4)
    assert names(narrow) == [[IDENTITY], [IDENTITY], [RELU]] and maps(narrow) == [(16, 4)]
    assert names(wide) == [['linear'], [IDENTITY], [RELU]] and maps(wide) == [(32, 16), (16, 4)]
    assert wide((torch.randn(4, 32),))[0].shape == (4, 4)


def test_linear_bn_relu_is_the_linear_map_at_an_output_alone():
    given = genotype(RELU, RELU)
    assert names(head(given, 8, 8, plain_output=True)) == [[RELU], ['linear']]
    assert names(head(given, 8, 4, 6)) == [[RELU], [RELU]]


def test_pools_begin_with_a_linear_map_where_the_width_changes():
    given = genotype(MAX, AVG)
    assert maps(head(given, 8, 8)) == [] and maps(head(given, 6, 4)) == [(6, 4)]


def test_two_operations_a_layer():
    built = head(genotype((IDENTITY, RELU), (AVG, IDENTITY)), 6, 4)
    assert names(built) == [['linear', RELU], [AVG, IDENTITY]]
    # Their outputs add.
    x = torch.randn(8, 6)
    y = x
    for layer in built.eval().cell.layers:
        first, second = layer.values()
        y = first(y) + second(y)
    torch.testing.assert_close(built((x,))[0], y)


def test_two_operations_that_become_one():
    # identity and the linear map differ at 8 -> 8 and agree at 4 -> 8.
    space = ('linear', 'identity')
    given = genotype(space, options=space)
    assert names(head(given, 8, 8)) == [['linear', 'identity']]
    assert names(head(given, 4, 8)) == [['linear']] and maps(head(given, 4, 8)) == [(4, 8)]


def test_own_operation_that_becomes_the_linear_map():
    CANDIDATE_OPS.register_module(
        name='halved',
        module=lambda i, o, is_output=False: nn.Sequential(
            nn.Linear(i, o), *[nn.Tanh()] * (i == o)
        ),
    )
    try:
        given = genotype('halved', options=('linear', 'halved'))
        assert names(head(given, 8, 8)) == [['halved']]
        assert names(head(given, 8, 4)) == [['linear']]
    finally:
        CANDIDATE_OPS.module_dict.pop('halved')


def test_a_file_of_schema_1_goes_to_other_widths():
    path = ROOT / 'tests/data/genotypes_schema1/simclr_r50_cifar10.json'
    decided = load_genotype(path).decided_at('projector')
    assert (decided[0].in_channels, decided[0].out_channels) == (2048, 512)
    built = head(path, 8, 8, 4)
    assert names(built)[:4] == [['linear_bn_hardswish']] * 2 + [['avg_pool_3_bn'], [RELU]]
    assert built((torch.randn(4, 8),))[0].shape == (4, 4)


@pytest.mark.parametrize('width', [0, -1, 2.0, '8', True, None])
def test_impossible_width(width):
    with pytest.raises(ValueError, match='in_channels of a cell must be a positive integer'):
        head(genotype(RELU), width, 8)


def test_head_that_was_not_decided():
    message = r"the genotype \(SimSiam\) has no projector, only \['predictor'\]; take one searched"
    with pytest.raises(GenotypeError, match=message):
        head(genotype(RELU, head='predictor'), 8, 8)
    path = ROOT / 'tests/data/genotypes_schema1/mocov2_r18_cifar10.json'
    with pytest.raises(GenotypeError, match=r"mocov2_r18_cifar10.json' \(MoCo\) has no predictor"):
        HeadMLP('predictor', 8, 8, genotype=path)
