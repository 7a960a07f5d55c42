# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A genotype fits a backbone of another width by a written rule.

1. The projector follows the width, or only its input where the framework fixes the rest.
2. Every other width, and the predictor with its alpha, stay, though 512 stands there too.
3. What is one function under two names is renamed, and the change is recorded.
4. The file written is read back, and the head is built from it.
"""

import json
import runpy
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nasiam_mm.architecture.adapt import adapt_genotype
from nasiam_mm.architecture.genotype import (
    CellGenotype,
    Genotype,
    GenotypeError,
    LayerGenotype,
    derive_cell,
    save_genotype,
)
from nasiam_mm.architecture.reading import load_genotype, read_genotype
from nasiam_mm.models.heads.genotype_mlp import GenotypeMLP
from nasiam_mm.ops.candidates import CANDIDATE_OPS, SPACES, layer_shapes

TOOL = Path(__file__).parents[2] / 'tools/model_converters/adapt_genotype.py'
SPACE = SPACES['S']
RELU, MAX_POOL, AVG_POOL, IDENTITY = range(4)


def searched(framework, in_channels, widths, tops, predictor=True, edge=False):
    """Genotype whose layer n has the operation ``tops[n]`` at its top."""
    shapes = layer_shapes(in_channels, widths)
    alpha = torch.nn.functional.one_hot(torch.tensor(tops), 4).float() + 0.01 * torch.rand(1, 4)
    cells = {'projector': derive_cell(alpha, SPACE, shapes, edge)}
    if predictor:
        shapes = layer_shapes(2048, [512, 512, 2048], plain_output=True)
        cells['predictor'] = derive_cell(torch.randn(3, 4), SPACE, shapes, edge)
    return Genotype(framework, SPACE, cells, {'epoch': 7}, edge)


def widths(genotype):
    layers = genotype.cells['projector'].layers
    return [layers[0].in_channels, *(layer.out_channels for layer in layers)]


@pytest.mark.parametrize('framework', ['SimSiam', 'MoCo', 'BYOL'])
def test_a_projector_as_wide_as_the_features_follows_them(framework):
    given = searched(framework, 512, [512] * 3, [IDENTITY, RELU, AVG_POOL])
    adapted = adapt_genotype(given, 2048)
    assert widths(adapted) == [2048] * 4
    assert adapted.cells['projector'].ops == given.cells['projector'].ops
    assert adapted.cells['predictor'] == given.cells['predictor']
    assert not any(layer.alpha or layer.softmax for layer in adapted.cells['projector'].layers)
    assert adapted.provenance == {
        'epoch': 7,
        'adapted': [{'cell': 'projector', 'width': [512, 2048], 'renamed': []}],
    }


def test_the_hidden_width_of_simclr_stays_and_identity_becomes_linear_and_back():
    given = searched('SimCLR', 512, [512, 512, 128], [IDENTITY, IDENTITY, RELU], predictor=False)
    adapted = adapt_genotype(given, 2048)
    assert widths(adapted) == [2048, 512, 512, 128]
    assert adapted.cells['projector'].ops == (('linear',), ('identity',), ('linear_bn_relu',))
    assert adapted.cells['projector'].layers[0].candidates[-1] == 'linear'
    assert adapted.provenance['adapted'][0]['renamed'] == ['layer 0: identity -> linear']
    again = adapt_genotype(adapted, 512)
    assert again.cells['projector'].ops == given.cells['projector'].ops
    assert [record['width'] for record in again.provenance['adapted']] == [[512, 2048], [2048, 512]]


def test_other_widths_of_the_projector_stay():
    given = searched('SimSiam', 512, [512, 256, 512], [RELU, IDENTITY, RELU])
    assert widths(adapt_genotype(given, 64)) == [64, 64, 256, 64]


def test_two_operations_a_layer():
    given = searched('BYOL', 512, [512, 512], [IDENTITY, RELU], edge=True)
    adapted = adapt_genotype(given, 2048)
    assert adapted.edge
    assert [len(ops) for ops in adapted.cells['projector'].ops] == [2, 2]
    assert read_genotype(json.dumps(adapted.to_dict())) == adapted


def test_two_operations_that_become_one():
    # identity and the linear map differ at 8 -> 8 and agree at 4 -> 8.
    space = ('linear', 'identity')
    layer = LayerGenotype(8, 8, False, candidates=space, ops=space)
    given = Genotype('SimCLR', space, {'projector': CellGenotype((layer,))}, edge=True)
    adapted = adapt_genotype(given, 4)
    assert adapted.cells['projector'].ops == (('linear',),)
    assert read_genotype(json.dumps(adapted.to_dict())) == adapted


def test_same_width_changes_nothing():
    given = searched('SimSiam', 512, [512], [RELU])
    assert adapt_genotype(given, 512) is given


@pytest.mark.parametrize('width', [0, -1, 2**21, 2048.0, '2048', True, None])
def test_impossible_width(width):
    with pytest.raises(GenotypeError, match='width must be an integer from 1 to 1048576'):
        adapt_genotype(searched('SimSiam', 512, [512], [RELU]), width)


def test_without_a_projector():
    given = searched('SimSiam', 512, [512], [RELU])
    given = replace(given, cells={'predictor': given.cells['predictor']})
    with pytest.raises(GenotypeError, match=r"has no projector to adapt, only \['predictor'\]"):
        adapt_genotype(given, 2048)


def test_operation_without_a_counterpart():
    # 'half' becomes the linear map at 8 -> 4, where 'linear' is its only name.
    CANDIDATE_OPS.register_module(
        name='half',
        module=lambda i, o, is_output=False: torch.nn.Sequential(
            torch.nn.Linear(i, o), *[torch.nn.Tanh()] * (i == o)
        ),
    )
    try:
        layer = LayerGenotype(8, 8, False, candidates=('linear', 'half'), ops=('half',))
        given = Genotype('SimCLR', ('linear', 'half'), {'projector': CellGenotype((layer,))})
        with pytest.raises(GenotypeError, match="projector layer 0: 'half' has no counterpart"):
            adapt_genotype(given, 4)
    finally:
        CANDIDATE_OPS.module_dict.pop('half')


def convert(monkeypatch, *arguments):
    monkeypatch.setattr(sys, 'argv', [str(TOOL), *map(str, arguments)])
    runpy.run_path(str(TOOL), run_name='__main__')


def test_tool_writes_what_the_wider_head_takes(tmp_path, monkeypatch, capsys):
    path, out = tmp_path / 'r18.json', tmp_path / 'new' / 'r50.json'
    save_genotype(searched('SimCLR', 32, [16, 16], [IDENTITY, RELU], predictor=False), path)
    convert(monkeypatch, path, '--width', 16, '--out', out)
    told = capsys.readouterr().out
    assert 'projector: width 32 -> 16' in told
    assert 'projector layer 0: linear -> identity' in told
    assert load_genotype(out) == adapt_genotype(load_genotype(path), 16)
    neck = GenotypeMLP(cell='projector', genotype=out, in_channels=16)
    assert neck((torch.randn(4, 16, 2, 2),))[0].shape == (4, 16)
    with pytest.raises(GenotypeError, match='takes width 32, but this head gets 16'):
        GenotypeMLP(cell='projector', genotype=path, in_channels=16)


def test_tool_leaves_nothing_behind_where_it_refuses(tmp_path, monkeypatch, capsys):
    path, out = tmp_path / 'r18.json', tmp_path / 'r50.json'
    save_genotype(searched('SimSiam', 32, [32], [RELU]), path)
    with pytest.raises(SystemExit) as ended:
        convert(monkeypatch, path, '--width', 0, '--out', out)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith('error: width must be an integer')
    assert list(tmp_path.iterdir()) == [path]
