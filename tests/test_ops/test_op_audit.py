# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The published heads pass the audit, and the audit can fail."""

import pytest
from torch import nn

from nasiam_mm.ops.candidates import CANDIDATE_OPS, SPACES, LayerShape
from tests.test_ops.op_audit import audit, published_shapes

SHAPES = sorted(published_shapes())


def test_shapes_are_those_of_the_design():
    expected = [
        # Projectors of SimSiam, MoCo v2 and BYOL, and what SimCLR adds.
        (512, 512, False),
        (2048, 2048, False),
        (2048, 512, False),
        (512, 128, False),
        (2048, 128, False),
        # Predictors at one to four layers.
        (2048, 2048, True),
        (512, 2048, True),
        (256, 256, True),
        (256, 4096, False),
        (4096, 4096, False),
        (4096, 256, True),
        (256, 1024, False),
        (1024, 1024, False),
        (1024, 256, True),
    ]
    assert sorted(LayerShape(*shape) for shape in expected) == SHAPES


@pytest.mark.parametrize('shape', SHAPES, ids=lambda shape: '-'.join(map(str, shape)))
@pytest.mark.parametrize('space', SPACES)
def test_published_heads_pass(space, shape):
    audit(SPACES[space], shape)


@pytest.fixture
def register():
    """Register an operation for one test."""
    names = []

    def add(name, build):
        CANDIDATE_OPS.register_module(name=name, module=build)
        names.append(name)

    yield add
    for name in names:
        CANDIDATE_OPS.module_dict.pop(name)


class Wrapped(nn.Module):
    """A linear map, times a factor, that does not print what it is."""

    def __init__(self, in_channels, out_channels, factor):
        super().__init__()
        self.map = nn.Linear(in_channels, out_channels)
        self.factor = factor

    def forward(self, x):
        return self.factor * self.map(x)


@pytest.mark.parametrize(
    ('factor', 'shape', 'trouble'),
    [
        (1.0, LayerShape(8, 16, True), 'linear and wrapped are one function'),
        (1.0, LayerShape(8, 16), 'linear and wrapped are one function'),
        (100.0, LayerShape(8, 8), 'deviations over all differ'),
        (0.0, LayerShape(8, 8), 'deviations over all differ'),
        (float('nan'), LayerShape(8, 8), "'wrapped': nan"),
    ],
)
def test_audit_fails(register, factor, shape, trouble):
    register('wrapped', lambda i, o, is_output=False: Wrapped(i, o, factor))
    space = (*SPACES["S'"], 'wrapped')
    with pytest.raises(AssertionError, match=trouble):
        audit(space, shape)


# A constant that differs by channel has a deviation, but none over the batch.
def test_audit_sees_an_output_that_ignores_the_input(register):
    def constant(in_channels, out_channels, is_output=False):
        block = nn.Sequential(nn.Linear(in_channels, out_channels), nn.Tanh())
        nn.init.zeros_(block[0].weight)
        return block

    register('constant', constant)
    with pytest.raises(AssertionError, match='deviations over batch differ'):
        audit((*SPACES["S'"], 'constant'), LayerShape(8, 8))


def test_audit_sees_a_wrong_merge(monkeypatch):
    monkeypatch.setattr(
        'tests.test_ops.op_audit.distinct_candidates',
        lambda space, shape: {0: 'linear_bn_relu', 1: 'max_pool_3_bn'},
    )
    with pytest.raises(AssertionError, match=r'was merged but equals \[\]'):
        audit(SPACES['S'], LayerShape(8, 8))
