# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims: the heads fit mmpretrain's slots and refuse what does not fit, in one line."""

import pytest
import torch
from torch import nn

from nasiam_mm.architecture.alpha import Architecture
from nasiam_mm.architecture.choice import op_choices
from nasiam_mm.architecture.genotype import GenotypeError, random_genotype, save_genotype
from nasiam_mm.models.heads import HeadMLP, head_shapes
from nasiam_mm.ops.candidates import SPACES, LayerShape
from nasiam_mm.registry import MODELS
from tests import small
from tests.small import build, config

SPACE = SPACES['S']


def choices(head='projector', hidden=8, cell=6):
    return op_choices(head, SPACE, head_shapes(head, 8, hidden, cell, 2))


def searchable(**kwargs):
    config = dict(name='projector', in_channels=8, hidden_channels=8, cell_channels=6, depth=2)
    head = MODELS.build({'type': 'HeadMLP', **config, 'space': SPACE, **kwargs})
    head.cell.bind(Architecture({head.name: op_choices(head.name, SPACE, head.cell.shapes)}))
    return head


@pytest.fixture
def genotype_file(tmp_path):
    path = tmp_path / 'genotype.json'
    save_genotype(random_genotype('SimCLR', {'projector': choices()}, 0), path)
    return path


@pytest.mark.parametrize('given', ['space', 'genotype'])
def test_what_no_head_takes_is_refused(given, genotype_file):
    value = SPACE if given == 'space' else str(genotype_file)
    own = small.config('simclr')
    own.neck[given] = value
    own.pop('space')
    MODELS.build(own)
    with pytest.raises(ValueError, match=f'model.{given} decides nothing: each HeadMLP has its'):
        MODELS.build({**own, given: value})
    without = {**own, 'neck': dict(type='NonLinearNeck', in_channels=8, hid_channels=8,
                                   out_channels=8)}  # fmt: skip
    with pytest.raises(ValueError, match='neither neck nor head holds a HeadMLP'):
        MODELS.build({**without, given: value})


def test_projector_pools_the_last_map_and_ends_in_the_output_layer():
    neck = searchable(out_channels=10, with_last_bn=True, with_last_bn_affine=False)
    maps = torch.randn(4, 8, 3, 3)
    (z,) = neck((torch.randn(4, 2, 5, 5), maps))
    assert z.shape == (4, 10)
    linear, norm = neck.output
    assert linear.bias is None and not norm.affine
    x = neck.cell.eval()(maps.mean((2, 3))) @ linear.weight.T
    neck.cell.train()
    expected = (x - x.mean(0)) / (x.var(0, unbiased=False) + norm.eps).sqrt()
    neck.cell.eval()
    torch.testing.assert_close(neck((maps,))[0], expected, atol=1e-5, rtol=1e-5)


def test_predictor_takes_vectors_and_ends_plain():
    neck = searchable(
        name='predictor',
        hidden_channels=4,
        cell_channels=8,
        plain_output=True,
        with_avg_pool=False,
    )
    assert neck([torch.randn(5, 8)])[0].shape == (5, 8)
    last = neck.cell.layers[-1]
    assert list(last.ops) == ['linear', 'max_pool_3_bn', 'avg_pool_3_bn']
    assert not any(isinstance(m, (nn.BatchNorm1d, nn.ReLU)) for m in last.modules())


def test_of_a_genotype_it_is_the_searched_head_made_discrete(genotype_file):
    neck = HeadMLP('projector', 8, 8, 6, genotype=str(genotype_file), out_channels=3)
    assert not neck.is_searched
    assert [len(layer) for layer in neck.cell.layers] == [1, 1]
    assert neck((torch.randn(4, 8, 2, 2),))[0].shape == (4, 3)
    assert not any('alpha' in name for name in neck.state_dict())


@pytest.mark.parametrize('widths', [(8, 6), (12, 6), (16, None)])
def test_a_genotype_holds_at_other_widths_and_says_the_depth(widths, genotype_file):
    neck = HeadMLP('projector', 16, *widths, depth=5, genotype=str(genotype_file))
    assert len(neck.cell.layers) == 2
    assert neck((torch.randn(4, 16, 2, 2),))[0].shape == (4, widths[1] or widths[0])


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (
            dict(genotype=None),
            'neither a space to search nor a genotype; give one by --genotype FILE',
        ),
        (dict(genotype='nowhere.json'), "genotype 'nowhere.json' does not exist"),
        (dict(name='predictor'), r"\(SimCLR\) has no predictor, only \['projector'\]"),
    ],
)
def test_genotype_that_does_not_fit(change, message, genotype_file):
    arguments = dict(
        name='projector', genotype=str(genotype_file), in_channels=8, hidden_channels=8
    )
    with pytest.raises(GenotypeError, match=message) as caught:
        HeadMLP(**{**arguments, **change})
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(cell_channels=0), r'widths\[1\] of a cell must be a positive integer, got 0'),
        (dict(hidden_channels=2.5), r'widths\[0\] of a cell must be a positive integer, got 2.5'),
        (dict(depth=0), 'depth of the projector must be a positive integer, got 0'),
        (dict(depth=None), 'depth of the projector must be a positive integer, got None'),
        (dict(depth=True), 'depth of the projector must be a positive integer, got True'),
        (dict(in_channels=-1), 'in_channels of a cell must be a positive integer, got -1'),
        (dict(space=['linear_bn_relu', 'nope']), "unknown candidate operation 'nope'"),
        (dict(space=['identity', 'identity']), r"repeated: \['identity'\]"),
        (dict(space=[]), 'a space is a list of registered operation names'),
        (dict(with_last_bn=True), 'with_last_bn needs an output layer'),
        (dict(genotype='a.json'), 'the projector has a space to search and a genotype'),
    ],
)
def test_head_that_cannot_be(change, message):
    arguments = dict(name='projector', space=SPACE, in_channels=8, hidden_channels=8, depth=2)
    with pytest.raises(ValueError, match=message):
        HeadMLP(**{**arguments, **change})


def test_widths_are_those_of_the_arguments():
    assert head_shapes('projector', 16, 8, depth=3) == (
        LayerShape(16, 8),
        LayerShape(8, 8),
        LayerShape(8, 8),
    )
    assert head_shapes('predictor', 16, 8, 16, 2, plain_output=True)[-1] == LayerShape(8, 16, True)
    assert head_shapes('predictor', 16, 8, 4, 1) == (LayerShape(16, 4),)


def test_two_heads_of_one_name_are_an_error():
    twice = config('simsiam')
    twice.head.predictor.name = 'projector'
    with pytest.raises(ValueError, match="two searched heads are called 'projector'"):
        MODELS.build(twice)


def test_heads_of_a_momentum_copy_do_not_count():
    model = build('mocov2')
    heads = [module for module in model.modules() if isinstance(module, HeadMLP)]
    assert len(heads) == 2
    assert model.searched_heads() == {'projector': model.neck}


def test_a_head_s_own_space_goes_before_the_model_s():
    own = config('byol')
    own.head.predictor.space = ['linear_bn_relu', 'identity']
    model = MODELS.build(own)
    assert model.neck.cell.space == SPACE
    assert model.head.predictor.cell.space == ('linear_bn_relu', 'identity')
    assert model.architecture.alpha('predictor').shape == (2, 2)
    assert 'space' not in own.neck  # the config says what was asked for
