# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The tool that draws the honest baseline."""

import runpy
import sys
from pathlib import Path

import pytest
import torch

from nasiam_mm.architecture.genotype import Genotype, derive_cell, save_genotype
from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.ops.candidates import SPACES, layer_shapes

TOOL = Path(__file__).parents[2] / 'tools/analysis_tools/random_genotype.py'


@pytest.fixture
def searched(tmp_path):
    # Equal shapes in both cells, so that equal draws would show.
    shapes = layer_shapes(8, [8] * 12)
    cells = {
        name: derive_cell(torch.randn(12, 4), SPACES['S'], shapes)
        for name in ('projector', 'predictor')
    }
    path = tmp_path / 'genotype.json'
    save_genotype(Genotype('BYOL', SPACES['S'], cells, {'epoch': 50}), path)
    return path


def draw(monkeypatch, *arguments):
    monkeypatch.setattr(sys, 'argv', [str(TOOL), *map(str, arguments)])
    runpy.run_path(str(TOOL), run_name='__main__')


def test_same_space_and_shapes_other_operations(searched, tmp_path, monkeypatch, capsys):
    out = tmp_path / 'random' / '1.json'
    draw(monkeypatch, searched, '--seed', 1, '--out', out)
    given, drawn = load_genotype(searched), load_genotype(out)
    assert (drawn.framework, drawn.space, drawn.edge) == ('BYOL', given.space, given.edge)
    assert list(drawn.cells) == list(given.cells)
    for name, cell in drawn.cells.items():
        assert cell.shapes == given.cells[name].shapes
        assert cell.ops != given.cells[name].ops
        assert not any(layer.alpha for layer in cell.layers)
    # The cells are drawn independently, though their shapes are equal.
    assert drawn.cells['projector'].ops != drawn.cells['predictor'].ops
    assert drawn.provenance['seed'] == 1
    assert drawn.provenance['shapes_of'] == 'genotype.json'
    assert 'epoch' not in drawn.provenance
    assert f'wrote {out}' in capsys.readouterr().out


def test_seeded(searched, tmp_path, monkeypatch):
    for name, seed in (('a', 4), ('b', 4), ('c', 5)):
        draw(monkeypatch, searched, '--seed', seed, '--out', tmp_path / f'{name}.json')
    a, b, c = (load_genotype(tmp_path / f'{name}.json') for name in 'abc')
    assert a == b
    cells = [genotype.cells[name].ops for genotype in (a, c) for name in genotype.cells]
    assert len(set(cells)) == 4


def test_refuses_in_one_line(tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit) as caught:
        draw(monkeypatch, tmp_path / 'no.json', '--out', tmp_path / 'a.json')
    assert caught.value.code == 2
    assert capsys.readouterr().err == (
        f"error: genotype '{tmp_path / 'no.json'}' does not exist; "
        'run a search first, or pass --genotype FILE\n'
    )
    assert not list(tmp_path.iterdir())


def test_custom_operations_are_imported(tmp_path, monkeypatch):
    (tmp_path / 'my_ops_for_test.py').write_text(
        'from torch import nn\n'
        'from nasiam_mm.space import CANDIDATE_OPS\n'
        'from nasiam_mm.ops.head import linear_block\n'
        '@CANDIDATE_OPS.register_module()\n'
        'def linear_bn_tanh(in_channels, out_channels, is_output=False):\n'
        '    return linear_block(nn.Tanh, in_channels, out_channels, is_output)\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    from nasiam_mm.ops.head import CANDIDATE_OPS

    (tmp_path / 'genotype.json').write_text(
        '{"schema_version": 1, "framework": "SimCLR", "space": ["identity", "linear_bn_tanh"], '
        '"cells": {"projector": {"layers": [{"in_channels": 4, "out_channels": 4, '
        '"ops": ["linear_bn_tanh"]}]}}}'
    )
    try:
        draw(
            monkeypatch, tmp_path / 'genotype.json', '--out', tmp_path / 'a.json',
            '--custom-imports', 'my_ops_for_test',
        )  # fmt: skip
        assert load_genotype(tmp_path / 'a.json').space == ('identity', 'linear_bn_tanh')
    finally:
        CANDIDATE_OPS.module_dict.pop('linear_bn_tanh', None)
        sys.modules.pop('my_ops_for_test', None)
