# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The zoo is what its scripts make of the recipes and genotypes, in OpenMMLab's form."""

import json
import re

import pytest
import yaml
from mmengine.config import Config
from modelindex.load_model_index import load

from docs.site import metafiles, zoo
from nasiam_mm.architecture.reading import load_genotype
from tests.reduced import ROOT

RECIPES = [path for folder in metafiles.FOLDERS for path in metafiles.recipes(folder)]
MODELS = [model for meta in zoo.metafiles() for model in meta['Models']]


@pytest.mark.parametrize('folder', metafiles.FOLDERS)
def test_a_metafile_says_what_its_recipes_say(folder):
    written = (ROOT / 'configs' / folder / 'metafile.yml').read_text(encoding='utf-8')
    assert written == metafiles.metafile(folder), 'run: python docs/site/metafiles.py'


def test_model_index_names_every_metafile():
    text = (ROOT / 'model-index.yml').read_text(encoding='utf-8')
    assert text == metafiles.index(), 'run: python docs/site/metafiles.py'
    found = {path.relative_to(ROOT).as_posix() for path in (ROOT / 'configs').rglob('metafile.yml')}
    assert found == set(yaml.safe_load(text)['Import'])


def test_every_recipe_is_in_a_metafile_once():
    shipped = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / 'configs').rglob('*.py')
        if '_base_' not in path.parts
    }
    named = [model['Config'] for model in MODELS]
    assert sorted(named) == sorted(shipped)
    names = [model['Name'] for model in MODELS]
    assert len(set(names)) == len(names)


def test_model_index_passes_the_check_of_its_library():
    index = load(str(ROOT / 'model-index.yml'))
    # It looks for a page beside the metafile; OpenMMLab's are named from the root.
    told = [error for error in index.check(silent=True) or [] if 'README' not in error]
    assert told == []
    for meta in zoo.metafiles():
        for collection in meta['Collections']:
            assert (ROOT / collection['README']).is_file()


def test_figures_of_a_metafile_are_those_of_the_recipe():
    """One of each kind, read here by other means."""
    by_config = {model['Config'].removeprefix('configs/'): model['Metadata'] for model in MODELS}
    text = (ROOT / 'configs/nasiam/simsiam_r18_search_cifar10.py').read_text()
    about = by_config['nasiam/simsiam_r18_search_cifar10.py']
    assert f'max_epochs={about["Epochs"]})' in text
    assert f'base_batch_size={about["Batch Size"]})' in text
    assert by_config['nasiam/byol_r50_pretrain_imagenet.py'] == {
        'Architecture': ['ResNet-50'], 'Training Data': 'ImageNet-1K',
        'Epochs': 100, 'Batch Size': 4096,
    }  # fmt: skip
    voc = by_config['detection/faster-rcnn_r50-c4_ms-24k_voc0712.py']
    assert voc['Iterations'] == 24000 and 'Epochs' not in voc
    demo = Config.fromfile(ROOT / 'configs/nasiam/simclr_r18_search_cifar10_demo.py')
    width = by_config['nasiam/simclr_r18_search_cifar10_demo.py']['Architecture']
    assert width == [f'ResNet-18, width {demo.model.backbone.base_channels}']


def test_the_page_is_what_the_script_writes():
    assert zoo.PAGE.read_text(encoding='utf-8') == zoo.render(), 'run: python docs/site/zoo.py'


def test_the_page_lists_every_recipe_and_every_genotype():
    text = zoo.PAGE.read_text(encoding='utf-8')
    for path in RECIPES:
        assert text.count(f'(../{path.relative_to(ROOT).as_posix()})') == 1
    files = [*(ROOT / 'genotypes').rglob('*.json'), *(ROOT / 'docs').rglob('*genotype.json')]
    counts = re.findall(r'\((\d+) files\)', text)
    heads = text[text.index('| file |') :].count('\n') - 2
    assert heads + sum(map(int, counts)) - len(counts) == len(files)


def test_a_row_tells_head_and_provenance():
    path = ROOT / 'genotypes/published/simsiam_r18_cifar10.json'
    whole = json.loads(path.read_text())
    (row,) = [line for line in zoo.render().splitlines() if 'simsiam_r18_cifar10.json' in line]
    ops = [decision['chosen'][0] for decision in whole['decisions'].values()]
    cells = [cell.strip() for cell in row.strip('|').split('|')]
    told = cells[2].replace('projector: ', '').replace('; predictor:', '').split()
    assert len(told) == len(ops) == 10
    assert all(short in op for short, op in zip(told, ops, strict=True))
    assert cells[1] == 'SimSiam' and whole['provenance']['imported_from'] in cells[3]
    assert 'seed 1' in zoo.origin(
        load_genotype(next(ROOT.glob('docs/**/*random-1-*/genotype.json')))
    )
    demo = load_genotype(ROOT / 'docs/results/demo/genotype.json')
    assert 'searched on CIFAR10, seed 0, epoch 6 of 6' in zoo.origin(demo)
    assert f'{len(demo.provenance["undecided"])} of 6 choices' in zoo.origin(demo)
