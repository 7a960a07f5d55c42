# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The head of a framework's paper, written as a genotype, is mmpretrain's own of the baseline."""

import pytest
import torch
from mmengine.config import Config
from torch import nn

from nasiam_mm.architecture.genotype import Decision, Genotype
from nasiam_mm.models.frameworks import FRAMEWORKS
from nasiam_mm.ops.candidates import SPACES
from nasiam_mm.registry import MODELS
from tests.reduced import ROOT

BASELINE = 'configs/nasiam/{}_r18_baseline_cifar10.py'
STANDARD = [
    (framework, head)
    for framework in FRAMEWORKS.values()
    for head in framework.standard
    if (ROOT / BASELINE.format(framework.name)).exists()
]


def as_genotype(framework, head, baseline):
    """Config of the head, of the decisions of its paper at the baseline's widths."""
    decisions = {
        f'{head}.{layer}.op': Decision(SPACES['S'], (op,))
        for layer, op in enumerate(framework.standard[head])
    }
    widths = dict(in_channels=baseline.in_channels, hidden_channels=baseline.hid_channels)
    if head == 'predictor':
        last = dict(cell_channels=baseline.out_channels, plain_output=True, with_avg_pool=False)
    else:
        last = dict(
            out_channels=baseline.out_channels,
            with_last_bn=baseline.get('with_last_bn', True),
            with_last_bn_affine=baseline.get('with_last_bn_affine', True),
        )
    genotype = Genotype(framework.algorithm, decisions)
    return dict(type='HeadMLP', name=head, genotype=genotype, **widths, **last)


def layers(head):
    return [m for m in head.modules() if isinstance(m, (nn.Linear, nn.BatchNorm1d))]


@pytest.mark.parametrize(('framework', 'head'), STANDARD, ids=lambda v: getattr(v, 'name', v))
def test_outputs_are_equal(framework, head):
    model = Config.fromfile(ROOT / BASELINE.format(framework.name)).model
    baseline = model.neck if head == 'projector' else model.head.predictor
    theirs, ours = MODELS.build(baseline), MODELS.build(as_genotype(framework, head, baseline))
    assert [type(m) for m in layers(theirs)] == [type(m) for m in layers(ours)]
    redundant = []
    for source, target in zip(layers(theirs), layers(ours), strict=True):
        state = source.state_dict()
        if 'bias' not in target.state_dict() and 'bias' in state:
            redundant.append(state.pop('bias'))
        target.load_state_dict(state)
    # Before BatchNorm, which takes a bias away again.
    assert len(redundant) == (framework.name == 'byol')
    width = baseline.in_channels
    x = torch.randn(16, width, 2, 2) if head == 'projector' else torch.randn(16, width)
    for _ in range(2):
        (expected,), (output,) = theirs.train()((x,)), ours.train()((x,))
        if redundant:
            torch.testing.assert_close(output, expected, atol=1e-5, rtol=1e-5)
        else:
            assert torch.equal(output, expected)
    if not redundant:
        assert torch.equal(ours.eval()((x,))[0], theirs.eval()((x,))[0])


def test_there_is_one_of_each_framework_whose_head_the_space_holds():
    heads = {(framework.name, head) for framework, head in STANDARD}
    assert heads >= {
        ('simsiam', 'projector'), ('simsiam', 'predictor'), ('simclr', 'projector'),
        ('byol', 'projector'), ('byol', 'predictor'),
    }  # fmt: skip
