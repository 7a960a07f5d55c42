# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Drawings of backbones: stages in words, blocks in a chain, edges by their nodes."""

from nasiam_mm.architecture.genotype import random_genotype
from nasiam_mm.models.backbones.handing import backbone_choices
from nasiam_mm.report.pictures.genotype_drawing import genotype_figure
from nasiam_mm.report.pictures.genotype_parts import cell_of, edge_name, notes, rows_of
from tests.backbones import CELLS, MOBILENET, RESNET


def drawn(config):
    genotype = random_genotype('SimCLR', backbone_choices(config), 1)
    texts = [text.get_text() for text in genotype_figure(genotype).axes[0].texts]
    return genotype, texts


def test_edges_are_told_by_their_nodes():
    assert [edge_name(n) for n in range(6)] == [
        *('input 1 → node 1', 'input 2 → node 1'),
        *('input 1 → node 2', 'input 2 → node 2', 'node 1 → node 2'),
        'input 1 → node 3',
    ]


def test_a_resnet_is_its_settings_alone():
    genotype, texts = drawn(dict(type='ChoiceResNet', space=RESNET))
    blocks = genotype.stages('backbone')['blocks']
    [[_, cell, _]] = rows_of(genotype)
    assert cell.layers == ()
    assert cell.settings[0] == f'blocks {blocks[0]}-{blocks[1]}-{blocks[2]}'
    assert cell.title in texts and cell.title.startswith('backbone, blocks')


def test_blocks_are_a_chain_and_edges_are_not():
    genotype, texts = drawn(dict(type='ChoiceMobileNet', space=MOBILENET))
    cell = cell_of(genotype, 'backbone')
    assert cell.is_chain and len(cell.layers) == 6 and 'layer 5' in texts
    genotype, texts = drawn(dict(type='ChoiceCells', space=CELLS, nodes=2))
    cells = [cell_of(genotype, group) for group in ('normal', 'reduction')]
    assert not any(cell.is_chain for cell in cells)
    assert texts.count('node 1 → node 2') == 2 and 'layer 0' not in texts
    assert notes(0, cells[0].layers[0]) == ['input 1 → node 1']
