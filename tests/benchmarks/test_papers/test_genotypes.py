# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Genotypes of the rows: the published ones as published, at any widths, and drawn ones."""

import pytest
from mmengine.config import Config
from nasiam_mm.models.heads.genotype_mlp import GenotypeMLP
from nasiam_mm.models.heads.searchable_mlp import SearchableMLP

from benchmarks.papers.edits import resnet50
from benchmarks.papers.genotypes import draw_genotype, refit_genotype, searched_heads
from nasiam_mm.architecture.genotype import GenotypeError, save_genotype
from nasiam_mm.architecture.published import import_published
from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.registry import MODELS
from tests.reduced import ROOT

# The names as the authors published them.
PUBLISHED = {
    'simsiam_r18_cifar10': (
        'SimSiam', 512,
        "Genotype(encoder=[['linear_relu'], ['linear_silu'], ['linear_elu'], ['identity'], "
        "['identity'], ['linear_relu']], predictor=[['linear_hardswish'], ['avgpool_3x3'], "
        "['avgpool_3x3'], ['linear_hardswish']])",
    ),
    'simsiam_r50_cifar10': (
        'SimSiam', 2048,
        "Genotype(encoder=[['linear_silu'], ['linear_hardswish'], ['linear_hardswish'], "
        "['linear_hardswish'], ['linear_silu'], ['linear_silu']], predictor=[["
        "'linear_hardswish'], ['linear_hardswish'], ['avgpool_3x3'], ['linear_silu']])",
    ),
    'simclr_r50_cifar10': (
        'SimCLR', 2048,
        "Genotype(predictor=[['linear_hardswish'], ['linear_hardswish'], ['avgpool_3x3'], "
        "['linear_relu'], ['linear_relu'], ['linear_relu']])",
    ),
    'mocov2_r18_cifar10': (
        'MoCo', 512, "Genotype(encoder=[['avgpool_3x3'], ['identity'], ['identity']])",
    ),
}  # fmt: skip
FILES = sorted(path.stem for path in (ROOT / 'genotypes/published').glob('*.json'))


def search_config(name):
    return Config.fromfile(ROOT / f'configs/nasiam/{name}.py')


def published(name):
    return load_genotype(ROOT / f'genotypes/published/{name}.json')


def test_every_committed_file_is_checked_here():
    assert sorted(PUBLISHED) == FILES


@pytest.mark.parametrize('name', FILES)
def test_a_committed_file_is_what_was_published(name):
    framework, width, text = PUBLISHED[name]
    assert published(name).cells == import_published(text, framework, width).cells


@pytest.mark.parametrize(
    ('name', 'search'),
    [
        ('simsiam_r18_cifar10', 'simsiam_r18_search_cifar10'),
        ('simsiam_r18_cifar10', 'simsiam_r18_search_cifar10_demo'),
        ('simclr_r50_cifar10', 'simclr_r18_search_cifar10_demo'),
        ('simclr_r50_cifar10', 'simclr_r18_search_cifar10'),
        ('mocov2_r18_cifar10', 'mocov2_r18_search_cifar10'),
        ('mocov2_r18_cifar10', 'mocov2_r18_search_cifar10_demo'),
    ],
)
def test_refitted_heads_build_where_the_searched_ones_stand(name, search, tmp_path):
    cfg = search_config(search)
    refitted = refit_genotype(published(name), cfg)
    file = tmp_path / 'genotype.json'
    save_genotype(refitted, file)
    pretrain = search_config(search.replace('_search_', '_pretrain_'))
    slots = {pretrain.model.neck.cell: pretrain.model.neck}
    predictor = pretrain.model.head.get('predictor')
    if predictor:
        slots[predictor.cell] = predictor
    for cell, head in searched_heads(cfg).items():
        built = MODELS.build({**slots[cell], 'genotype': str(file)})
        searched = MODELS.build(head)
        assert isinstance(built, GenotypeMLP)
        assert isinstance(searched, SearchableMLP)
        assert refitted.cells[cell].shapes[-1].out_channels == head['widths'][-1]
        ours = [op for layer in refitted.cells[cell].ops for op in layer]
        theirs = [op for layer in published(name).cells[cell].ops for op in layer]
        # Only the names of one and the same function may differ.
        swapped = {pair for pair in zip(theirs, ours, strict=True) if pair[0] != pair[1]}
        assert swapped <= {('identity', 'linear'), ('linear', 'identity')}


def test_refitting_to_its_own_widths_changes_no_layer():
    genotype = published('simsiam_r18_cifar10')
    refitted = refit_genotype(genotype, search_config('simsiam_r18_search_cifar10'))
    assert refitted.cells == genotype.cells


def test_a_head_of_resnet18_for_resnet50():
    cfg = search_config('simsiam_r18_search_cifar10')
    resnet50()(cfg)
    refitted = refit_genotype(published('simsiam_r18_cifar10'), cfg)
    assert {shape[:2] for shape in refitted.cells['projector'].shapes} == {(2048, 2048)}


def test_a_genotype_of_another_framework_is_refused():
    with pytest.raises(GenotypeError, match='SimSiam with cells .* does not fit config .*SimCLR'):
        refit_genotype(published('simsiam_r18_cifar10'), search_config('simclr_r18_search_cifar10'))


def test_draws_are_of_the_space_and_the_seed():
    cfg = search_config('simsiam_r18_search_cifar10_demo')
    drawn = [draw_genotype(cfg, seed) for seed in range(6)]
    assert draw_genotype(cfg, 3) == drawn[3]
    assert len({str(genotype.cells) for genotype in drawn}) == 6
    for genotype in drawn:
        assert set(genotype.cells) == {'projector', 'predictor'}
        for cell in genotype.cells.values():
            assert all(op in layer.candidates for layer in cell.layers for op in layer.ops)


def test_a_config_that_searches_nothing_is_refused():
    with pytest.raises(ValueError, match='no SearchableMLP'):
        searched_heads(search_config('simsiam_r18_baseline_cifar10'))
