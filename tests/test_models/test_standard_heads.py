# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The head of a framework's paper, written as a genotype, is mmpretrain's own of the baseline.

As operations of the space S, where that holds it, and as choices of S-head, for every recipe.
"""

import pytest
import torch
from mmengine.config import Config
from torch import nn

from nasiam_mm.architecture.genotype import Decision, Genotype, GenotypeError, save_genotype
from nasiam_mm.architecture.points import check_within
from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.architecture.space import choices_of_space
from nasiam_mm.models.frameworks import FRAMEWORKS
from nasiam_mm.models.standard import standard_genotype, standard_options
from nasiam_mm.ops.candidates import SPACES
from nasiam_mm.presets import framework_names
from nasiam_mm.registry import MODELS
from tests.reduced import ROOT

BIASED = ('byol', 'swav')  # before BatchNorm
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
    bias = baseline.get('with_last_bias', baseline.type != 'NonLinearNeck')
    if head == 'predictor' and len(framework.standard[head]) == baseline.get('num_layers', 2):
        last = dict(cell_channels=baseline.out_channels, plain_output=True, with_avg_pool=False)
    else:
        last = dict(
            out_channels=baseline.out_channels,
            with_last_bn=baseline.get('with_last_bn', baseline.type != 'SwAVNeck'),
            with_last_bn_affine=baseline.get('with_last_bn_affine', True),
            with_last_bias=bias,
            with_avg_pool=head == 'projector',
        )
    genotype = Genotype(framework.algorithm, decisions)
    return dict(type='HeadMLP', name=head, genotype=genotype, **widths, **last)


def layers(head):
    return [m for m in head.modules() if isinstance(m, (nn.Linear, nn.BatchNorm1d))]


def same_function(theirs, ours, x, has_redundant_bias):
    """Copy the weights of one head to another, of equal layers, and compare what they give."""
    assert [type(m) for m in layers(theirs)] == [type(m) for m in layers(ours)]
    redundant = []
    for source, target in zip(layers(theirs), layers(ours), strict=True):
        state = source.state_dict()
        if 'bias' not in target.state_dict() and 'bias' in state:
            redundant.append(state.pop('bias'))
        target.load_state_dict(state)  # strict: equal names and shapes
    # Before BatchNorm, which takes a bias away again.
    assert len(redundant) == has_redundant_bias
    for _ in range(2):
        (expected,), (output,) = theirs.train()((x,)), ours.train()((x,))
        if redundant:
            torch.testing.assert_close(output, expected, atol=1e-5, rtol=1e-5)
        else:
            assert torch.equal(output, expected)
    if not redundant:
        assert torch.equal(ours.eval()((x,))[0], theirs.eval()((x,))[0])


@pytest.mark.parametrize(('framework', 'head'), STANDARD, ids=lambda v: getattr(v, 'name', v))
def test_outputs_are_equal(framework, head):
    model = Config.fromfile(ROOT / BASELINE.format(framework.name)).model
    baseline = model.neck if head == 'projector' else model.head.predictor
    theirs, ours = MODELS.build(baseline), MODELS.build(as_genotype(framework, head, baseline))
    x = (16, baseline.in_channels, 2, 2) if head == 'projector' else (16, baseline.in_channels)
    same_function(theirs, ours, torch.randn(x), framework.name in BIASED)


def test_there_is_one_of_each_framework_whose_head_the_space_holds():
    heads = {(framework.name, head) for framework, head in STANDARD}
    assert heads >= {
        ('simsiam', 'projector'), ('simsiam', 'predictor'), ('simclr', 'projector'),
        ('byol', 'projector'), ('byol', 'predictor'),
        ('barlowtwins', 'projector'), ('vicreg', 'projector'),
    }  # fmt: skip


TWINS = [
    (framework, rest)
    for framework in framework_names()
    for rest in ('r18_{}_cifar10', 'r18_{}_cifar100', 'r18_{}_cifar10_demo', 'r50_{}_imagenet')
]
TWINS += [('mocov3', 'vit-tiny_{}_cifar10'), ('mocov3', 'vit-small_{}_imagenet')]


def models(framework, rest):
    """Configs of the baseline's model and of the recipe's that takes a genotype."""
    names = (f'configs/nasiam/{framework}_{rest.format(p)}.py' for p in ('baseline', 'pretrain'))
    return [Config.fromfile(ROOT / name).model for name in names]


@pytest.mark.parametrize(('framework', 'rest'), TWINS)
def test_as_choices_it_has_the_same_weights_and_function(framework, rest, tmp_path):
    baseline, recipe = models(framework, rest)
    save_genotype(standard_genotype(baseline, recipe), tmp_path / 'g.json')
    pairs = [(baseline.neck, recipe.neck)]
    if 'predictor' in baseline.head:
        pairs.append((baseline.head.predictor, recipe.head.predictor))
    for of_baseline, of_recipe in pairs:
        theirs = MODELS.build(of_baseline)
        ours = MODELS.build({**of_recipe, 'genotype': str(tmp_path / 'g.json')})
        x = torch.randn(16, of_baseline.in_channels)
        x = x[:, :, None, None] if of_recipe.get('with_avg_pool', True) else x
        same_function(theirs, ours, x, framework in BIASED)


def layers_of(neck):
    return 1 if neck.type == 'LinearNeck' else neck.get('num_layers', 2)


@pytest.mark.parametrize(('framework', 'rest'), TWINS)
def test_s_head_holds_it(framework, rest, tmp_path):
    baseline, recipe = models(framework, rest)
    space = Config.fromfile(ROOT / 'configs/_base_/spaces/s_head.py')
    kind = 'decorrelating' if framework in ('barlowtwins', 'vicreg') else 'contrastive'
    kind = 'predictive' if 'predictor' in recipe.head else kind
    heads = ['projector', *(['predictor'] if 'predictor' in recipe.head else [])]
    own = space.get(f'_s_head_{framework}', space[f'_s_head_{kind}'])
    choices = choices_of_space(own, dict.fromkeys(heads))
    genotype = standard_genotype(baseline, recipe, choices)
    assert genotype.framework == FRAMEWORKS[framework].algorithm
    save_genotype(genotype, tmp_path / 'g.json')
    check_within(load_genotype(tmp_path / 'g.json'), choices)
    assert genotype.settings('projector')['depth'] == layers_of(baseline.neck)


def test_what_is_no_standard_head():
    baseline, recipe = models('mocov3', 'r18_{}_cifar10')
    with pytest.raises(ValueError, match='the projector of the baseline is a HeadMLP, which no'):
        standard_options(recipe, recipe)
    baseline.head.predictor.with_last_bn = True
    with pytest.raises(ValueError, match='the predictor of the baseline ends in norm bn, the rec'):
        standard_options(baseline, recipe)
    baseline, recipe = models('simclr', 'r18_{}_cifar10')
    narrow = choices_of_space(dict(depth=[1, 4]), {'projector': None})
    with pytest.raises(GenotypeError, match=r'takes 2 at projector.depth; the space has \[1, 4\]'):
        standard_genotype(baseline, recipe, narrow)
