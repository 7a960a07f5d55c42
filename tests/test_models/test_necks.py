# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims: the necks fit mmpretrain's slots and refuse what does not fit, in one line."""

import pytest
import torch
from nasiam_mm.models.heads.genotype_mlp import GenotypeMLP
from nasiam_mm.models.heads.searchable_mlp import SearchableMLP
from nasiam_mm.models.searched_cells import searched_cells
from torch import nn

from nasiam_mm.architecture.genotype import Genotype, GenotypeError, derive_cell, save_genotype
from nasiam_mm.ops.candidates import SPACES
from nasiam_mm.registry import MODELS

SPACE = SPACES['S']


def searchable(**kwargs):
    config = dict(type='SearchableMLP', cell='projector', space=SPACE, in_channels=8, widths=[8, 6])
    return MODELS.build({**config, **kwargs})


@pytest.fixture
def genotype_file(tmp_path):
    neck = searchable()
    nn.init.normal_(neck.cell.alpha)
    cell = derive_cell(neck.cell.alpha, neck.cell.space, neck.cell.shapes)
    path = tmp_path / 'genotype.json'
    save_genotype(Genotype('SimCLR', SPACE, {'projector': cell}), path)
    return path


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
    neck = searchable(cell='predictor', widths=[4, 8], plain_output=True, with_avg_pool=False)
    assert neck([torch.randn(5, 8)])[0].shape == (5, 8)
    last = neck.cell.layers[-1]
    assert list(last.ops) == ['linear', 'max_pool_3_bn', 'avg_pool_3_bn']
    assert not any(isinstance(m, (nn.BatchNorm1d, nn.ReLU)) for m in last.modules())


def test_genotype_mlp_is_the_searched_head_made_discrete(genotype_file):
    neck = MODELS.build(
        dict(
            type='GenotypeMLP',
            cell='projector',
            genotype=str(genotype_file),
            in_channels=8,
            out_channels=3,
        )
    )
    assert isinstance(neck, GenotypeMLP)
    assert [len(layer) for layer in neck.cell.layers] == [1, 1]
    assert neck((torch.randn(4, 8, 2, 2),))[0].shape == (4, 3)
    assert not any('alpha' in name for name, _ in neck.named_parameters())


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(genotype=None), 'the projector has no genotype; pass --genotype FILE'),
        (dict(genotype='nowhere.json'), "genotype 'nowhere.json' does not exist"),
        (dict(cell='predictor'), r"\(SimCLR\) has no cell 'predictor', only \['projector'\]"),
        (dict(in_channels=16), 'cells.projector: takes width 8, but this head gets 16'),
    ],
)
def test_genotype_that_does_not_fit(change, message, genotype_file):
    config = dict(cell='projector', genotype=str(genotype_file), in_channels=8)
    with pytest.raises(GenotypeError, match=message) as caught:
        GenotypeMLP(**{**config, **change})
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(widths=[8, 0]), r'widths\[1\] of a cell must be a positive integer, got 0'),
        (dict(widths=[8, 2.5]), r'widths\[1\] of a cell must be a positive integer, got 2.5'),
        (dict(widths=[]), 'at least one layer'),
        (dict(in_channels=-1), 'in_channels of a cell must be a positive integer, got -1'),
        (dict(space=['linear_bn_relu', 'nope']), "unknown candidate operation 'nope'"),
        (dict(space=['identity', 'identity']), r"repeated: \['identity'\]"),
        (dict(space=[]), 'a space is a list of registered operation names'),
        (dict(with_last_bn=True), 'with_last_bn needs an output layer'),
    ],
)
def test_head_that_cannot_be(change, message):
    config = dict(cell='projector', space=SPACE, in_channels=8, widths=[8])
    with pytest.raises(ValueError, match=message):
        SearchableMLP(**{**config, **change})


def test_cells_of_a_momentum_copy_do_not_count():
    online, copy = searchable(), searchable()
    copy.cell.follow(online.cell)
    assert searched_cells(nn.ModuleList([copy, online])) == {'projector': online.cell}
    assert not any('alpha' in name for name in copy.state_dict())
    nn.init.normal_(online.cell.alpha)
    assert torch.equal(copy.cell.mixing_weights(), online.cell.mixing_weights())


def test_two_heads_of_one_name_and_none_are_errors():
    with pytest.raises(ValueError, match="two searched heads are called 'projector'"):
        searched_cells(nn.ModuleList([searchable(), searchable()]))
    with pytest.raises(ValueError, match='has nothing to search'):
        searched_cells(nn.Linear(1, 1))
