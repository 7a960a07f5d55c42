# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Recipes hold the papers' values; docs/frameworks.md lists each that differs, and no other."""

import re
from fnmatch import fnmatch
from itertools import product

import pytest
from mmengine.config import Config

from nasiam_mm.config_walk import find_hook
from nasiam_mm.views.view_params import view_recipes
from tests.reduced import ROOT

FOLDERS = ROOT / 'configs/nasiam', ROOT / 'configs/benchmarks/linear'
CONFIGS = {path.stem: path for folder in FOLDERS for path in sorted(folder.glob('*.py'))}

SGD = {'optimizer': 'SGD', 'momentum': '0.9', 'left out': 'nothing', 'warm-up': '0',
       'last rate': '0'}  # fmt: skip
LARS = {'optimizer': 'LARS', 'momentum': '0.9', 'left out': 'biases, BatchNorm', 'warm-up': '10',
        'last rate': '0'}  # fmt: skip
VIEWS = {
    'crop': '0.2 to 1', 'flip': '0.5', 'jitter': '0.4, 0.4, 0.4, 0.1', 'jittered': '0.8',
    'grey': '0.2', 'blur': '0.5', 'blur width': '0.1 to 2', 'solarize': '0',
}  # fmt: skip
WIDE, PLAIN = {**VIEWS, 'crop': '0.08 to 1'}, {'blur': '0'}
SIMSIAM = {**SGD, **VIEWS, 'rate': '0.05', 'decay': '0.0001', 'batch': '256', 'epochs': '100',
           'predictor rate': 'constant'}  # fmt: skip
SIMCLR = {**LARS, **WIDE, 'rate': '0.3', 'decay': '1e-6', 'batch': '4096', 'epochs': '100',
          'temperature': '0.1', 'jitter': '0.8, 0.8, 0.8, 0.2'}  # fmt: skip
MOCO = {**SGD, **VIEWS, 'rate': '0.03', 'decay': '0.0001', 'batch': '256', 'epochs': '200',
        'temperature': '0.2', 'queue': '65536', 'average': '0.999',
        'loss': 'one-sided'}  # fmt: skip
BYOL = {**LARS, **WIDE, 'rate': '0.2', 'decay': '1.5e-6', 'batch': '4096', 'epochs': '1000',
        'average': '0.996 to 1', 'jitter': '0.4, 0.4, 0.2, 0.1', 'blur': '1 / 0.1',
        'solarize': '0 / 0.2'}  # fmt: skip
# MoCo v3's, of a ResNet by the authors' code for 100 epochs.
MOCOV3 = {**LARS, **WIDE, 'crop': '0.2 to 1', 'rate': '0.6', 'decay': '1e-6', 'batch': '4096',
          'epochs': '100', 'average': '0.99 to 1', 'temperature': '1',
          'jitter': '0.4, 0.4, 0.2, 0.1', 'blur': '1 / 0.1', 'solarize': '0 / 0.2'}  # fmt: skip
MOCOV3_VIT = {**MOCOV3, 'optimizer': 'AdamW', 'crop': '0.08 to 1',
              'rate': '0.00015', 'decay': '0.1', 'left out': 'nothing', 'warm-up': '40',
              'epochs': '300', 'temperature': '0.2'}  # fmt: skip
BARLOW = {**BYOL, 'decay': '1.5e-6', 'batch': '2048', 'bias rate': '0.0048', 'weights': '0.005',
          'last rate': '0.001'}  # fmt: skip
BARLOW.pop('average')
VICREG = {**LARS, **WIDE, 'rate': '0.2', 'decay': '1e-6', 'batch': '2048', 'epochs': '1000',
          'jitter': '0.4, 0.4, 0.2, 0.1', 'solarize': '0.1', 'weights': '25, 25, 1',
          'last rate': '0.001'}  # fmt: skip
# PIRL, sections 2.3 and 3, appendix A, and VISSL for what is left out of decay; but for its views:
# MoCo v2's stand for the jigsaw, as the page says.
PIRL = {**SGD, **VIEWS, 'rate': '0.03', 'decay': '0.0001', 'batch': '1024', 'epochs': '800',
        'temperature': '0.07', 'bank average': '0.5', 'bank width': '128', 'negatives': '32000',
        'last rate': '0.001', 'left out': 'biases, BatchNorm'}  # fmt: skip
SWAV = {**LARS, **WIDE, 'rate': '0.6', 'decay': '1e-6', 'left out': 'nothing', 'warm-up': '0',
        'batch': '256', 'epochs': '200', 'temperature': '0.1', 'epsilon': '0.05',
        'prototypes': '3000', 'frozen': '1', 'queue': '3840 from 15', 'views': '2 + 6',
        'crop': '0.14 to 1 / 0.05 to 0.14', 'jitter': '0.8, 0.8, 0.8, 0.2',
        'last rate': '0.001'}  # fmt: skip
# What the papers say. Rates are for 256 images, warm-up is in epochs.
PAPERS = {
    # SimSiam, section 3 and table 4, appendix D.
    'simsiam_r50_{baseline,pretrain}_imagenet': SIMSIAM,
    'simsiam_r18_{baseline,pretrain}_cifar{10,100}': {
        **SIMSIAM, **PLAIN, 'rate': '0.03', 'decay': '0.0005', 'batch': '512', 'epochs': '800',
    },
    # SimCLR, section 2 and appendix A, appendix B.9.
    'simclr_r50_{baseline,pretrain}_imagenet': SIMCLR,
    'simclr_r18_{baseline,pretrain}_cifar{10,100}': {
        **SIMCLR, **PLAIN, 'rate': '1', 'batch': '256 to 4096', 'epochs': '1000',
        'temperature': '0.5', 'jitter': '0.4, 0.4, 0.4, 0.1',
    },
    # MoCo, section 3.3, and MoCo v2, section 3; the authors' demo of CIFAR-10.
    'mocov2_r50_{baseline,pretrain}_imagenet': MOCO,
    'mocov2_r18_{baseline,pretrain}_cifar{10,100}': {
        **MOCO, **WIDE, **PLAIN, 'decay': '0.0005', 'batch': '512', 'epochs': '800',
        'temperature': '0.1', 'queue': '4096', 'average': '0.99', 'loss': 'symmetric',
    },
    # BYOL, section 3.2 and appendix B; it has no CIFAR.
    'byol_r50_{baseline,pretrain}_imagenet': BYOL,
    'byol_r18_{baseline,pretrain}_cifar{10,100}': BYOL,
    # MoCo v3, section 5, and the authors' code; it has no CIFAR.
    'mocov3_r50_{baseline,pretrain}_imagenet': MOCOV3,
    'mocov3_r18_{baseline,pretrain}_cifar{10,100}': MOCOV3,
    'mocov3_vit-small_{baseline,pretrain}_imagenet': MOCOV3_VIT,
    'mocov3_vit-tiny_{baseline,pretrain}_cifar{10,100}': MOCOV3_VIT,
    'mocov3_vit-tiny_search_cifar{10,100}': {
        'optimizer': 'AdamW', 'rate': '0.00015', 'decay': '0.1', 'epochs': '100',
    },
    # Barlow Twins, section 2.2; it has no CIFAR.
    'barlowtwins_r50_{baseline,pretrain}_imagenet': BARLOW,
    'barlowtwins_r18_{baseline,pretrain}_cifar{10,100}': BARLOW,
    # VICReg, section 4 and appendix C; it has no CIFAR.
    'vicreg_r50_{baseline,pretrain}_imagenet': VICREG,
    'vicreg_r18_{baseline,pretrain}_cifar{10,100}': VICREG,
    'pirl_r50_{baseline,pretrain}_imagenet': PIRL,
    'pirl_r18_{baseline,pretrain}_cifar{10,100}': {**PIRL, **PLAIN},
    # SwAV, sections 3.2 and 4.1 (batches of 256), appendix A; it has no CIFAR.
    'swav_r50_{baseline,pretrain}_imagenet': SWAV,
    'swav_r18_{baseline,pretrain}_cifar{10,100}': SWAV,
    # NASiam, section 4.1.
    '*_r{18,50}_search_cifar{10,100}': {
        'optimizer': 'SGD', 'rate': '0.03', 'decay': '0.0005', 'epochs': '100',
    },
    # SimSiam, appendix A; NASiam, tables 2 and 3, and the authors' demo of MoCo.
    'r50_imagenet_linear': {
        **LARS, 'left out': 'nothing', 'warm-up': '0', 'rate': '0.02', 'decay': '0',
        'batch': '4096', 'epochs': '90', 'images': 'all',
    },
    'r18_cifar{10,100}_linear': {
        **SGD, 'rate': '30', 'decay': '0', 'batch': '256', 'epochs': '100', 'images': 'all',
    },
    # MoCo v3's code for a ViT-Small; it has no CIFAR.
    'vit-{tiny_cifar10,tiny_cifar100,small_imagenet}_linear': {
        **SGD, 'rate': '3', 'decay': '0', 'batch': '1024', 'epochs': '90', 'images': 'all',
    },
}  # fmt: skip
# Of no paper; a demo may differ in it from the recipe that it shortens.
OURS = {'width', 'images', 'arithmetic', 'cosine'}


def number(value):
    return f'{value:g}'.replace('e-0', 'e-')


def values(name):
    """Read what a recipe sets, written as in the table."""
    cfg = Config.fromfile(CONFIGS[name])
    model, optimizer = cfg.model, cfg.optim_wrapper.optimizer
    size = cfg.train_dataloader.batch_size
    batch = cfg.get('auto_scale_lr', {}).get('base_batch_size', size)
    # As many images on each of a number of processes.
    assert batch == size * (batch // size)
    paramwise = cfg.optim_wrapper.get('paramwise_cfg', {})
    flat = dict(paramwise.get('flat_options', {}))
    bias_rate = flat.pop('lr', optimizer.lr)
    without = flat == dict(weight_decay=0.0, lars_exclude=True)
    *warm_up, cosine = cfg.param_scheduler
    assert cosine.type == 'CosineAnnealingLR' and len(warm_up) == (cosine.get('begin', 0) > 0)
    split = cfg.train_dataloader.dataset.dataset
    part = dict(split['parts'])[split['part']] if 'parts' in split else 'all'
    found = {
        'optimizer': optimizer.type,
        'momentum': momentum_of(optimizer),
        'rate': number(optimizer.lr * 256 / batch),
        'decay': number(optimizer.weight_decay),
        'left out': 'biases, BatchNorm' if without else 'nothing',
        'warm-up': number(cosine.get('begin', 0)),
        'last rate': number(
            cosine.get('eta_min', 0) / optimizer.lr + cosine.get('eta_min_ratio', 0)
        ),
        'batch': f'{batch}',
        'epochs': f'{cfg.train_cfg.max_epochs}',
        'cosine': 'by step' if cosine.get('convert_to_iter_based') else 'by epoch',
        'width': f'{model.backbone.get("base_channels", 64)}',
        'images': f'{part}',
        'arithmetic': 'bfloat16' if 'Autocast' in cfg.optim_wrapper.get('type', '') else 'float32',
    }
    if (hook := find_hook(cfg, 'AlphaStepHook')) is not None:
        found['rate of alpha'] = number(hook['optimizer']['lr'])
        found['decay of alpha'] = number(hook['optimizer'].get('weight_decay', 0))
    if 'views' in model.data_preprocessor:
        found |= views_of(model.data_preprocessor['views'])
    if model.type == 'SimSiam':
        fixed = find_hook(cfg, 'FixedLrHook') and paramwise.custom_keys.predictor.fix_lr
        found['predictor rate'] = 'constant' if fixed else 'decays'
    if 'temperature' in model.head:
        found['temperature'] = number(model.head.temperature)
    if model.type == 'BarlowTwins':
        found['bias rate'] = number(bias_rate * 256 / batch)
        found['weights'] = number(model.head.loss.lambd)
    if model.type == 'VICReg':
        weights = (model.head[name] for name in ('invariance', 'variance', 'covariance'))
        found['weights'] = ', '.join(map(number, weights))
    if model.type == 'SwAV':
        found |= swav(model, find_hook(cfg, 'PrototypesHook'))
    if 'base_momentum' in model:
        found['average'] = f'{number(1 - model.base_momentum)} to 1'
    if 'bank_len' in model:
        found['bank average'], found['negatives'] = number(model.momentum), f'{model.negatives}'
        found['bank width'] = f'{model.feat_dim}'
    if model.type == 'MoCo':
        found['average'], found['queue'] = number(1 - model.momentum), f'{model.queue_len}'
        found['loss'] = 'symmetric' if model.symmetric else 'one-sided'
    return found


def momentum_of(optimizer):
    """Write the momentum, of an Adam that of the first moment."""
    return number(optimizer.get('momentum', optimizer.get('betas', (0.9, 0.999))[0]))


def swav(model, hook):
    """Write what a recipe of SwAV has besides, epochs counted from 0."""
    loss, sizes = model.head.loss, [view['size'] for view in model.data_preprocessor['views']]
    large = sizes.count(sizes[0])
    return {
        'temperature': number(loss.temperature),
        'epsilon': number(loss.epsilon),
        'prototypes': f'{loss.num_prototypes}',
        'frozen': f'{hook["frozen_epochs"]}',
        'queue': f'{loss.queue_len} from {hook["queue_epoch"]}',
        'views': f'{large} + {len(sizes) - large}',
    }


def views_of(cfg):
    """Write the recipes of the views, once where all have the same."""
    each = cfg if isinstance(cfg, list) else [cfg, cfg]
    views = view_recipes([{**view, 'size': 32} for view in each], len(each))
    found = {}
    for view in views:
        jitter = view.jitter
        strengths = jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue
        shown = {
            'crop': ' to '.join(map(number, view.scale)),
            'flip': number(view.flip_prob),
            'jitter': ', '.join(map(number, strengths)),
            'jittered': number(jitter.prob),
            'grey': number(view.gray_prob),
            'blur': number(view.blur_prob),
            'blur width': ' to '.join(map(number, view.blur_sigma)),
            'solarize': number(view.solarize_prob),
        }
        for key, value in shown.items():
            found.setdefault(key, []).append(value)
    return {key: ' / '.join(dict.fromkeys(pair)) for key, pair in found.items()}


def covered(pattern):
    """Name the recipes of a shell pattern."""
    parts = [part.strip('{}').split(',') for part in re.split(r'({[^}]+})', pattern)]
    patterns = [''.join(choice) for choice in product(*parts)]
    return [name for name in CONFIGS if any(fnmatch(name, each) for each in patterns)]


def differences():
    """Name each (recipe, setting, here, there) of a recipe beside what it should be."""
    found = set()
    beside = {name: paper for pattern, paper in PAPERS.items() for name in covered(pattern)}
    for name in CONFIGS:
        here = values(name)
        there = beside[name] if name in beside else values(name.removesuffix('_demo'))
        found |= {(name, key, here[key], there[key]) for key in there if here[key] != there[key]}
    return found


def rows():
    """Read the table; an empty cell is as the one above it."""
    page = (ROOT / 'docs/frameworks.md').read_text(encoding='utf-8')
    [table] = re.findall(r'^\| recipes \|.*\n\|[-|]+\n((?:\|.*\n)+)', page, re.M)
    above = [''] * 5
    for line in table.splitlines():
        cells = [cell.strip() for cell in line.strip('|').split('|')]
        above = [cell or old for cell, old in zip(cells, above, strict=True)]
        yield above


def listed():
    """Name each (recipe, setting, here, there) of the table."""
    for recipes, setting, here, there, why in rows():
        names = [name for part in recipes.split('`')[1::2] for name in covered(part)]
        assert names and why, recipes
        yield from ((name, setting, here, there) for name in names)


def test_the_page_lists_each_difference_and_no_other():
    found, told = differences(), set(listed())
    assert sorted(found - told) == [] and sorted(told - found) == []


def test_every_recipe_is_beside_a_paper_or_shortens_one_that_is():
    beside = [name for pattern in PAPERS for name in covered(pattern)]
    assert len(set(beside)) == len(beside) > 30
    assert all(name in beside or name.removesuffix('_demo') in beside for name in CONFIGS)


@pytest.mark.parametrize('name', [name for name in CONFIGS if not name.endswith('_demo')])
def test_a_recipe_is_its_papers_but_for_what_the_page_lists(name):
    [paper] = [paper for pattern, paper in PAPERS.items() if name in covered(pattern)]
    found = values(name)
    if '_search_' in name:  # of which NASiam says little
        found = {key: found[key] for key in paper}
    here = {setting: value for other, setting, value, _ in listed() if other == name}
    found = {key: value for key, value in found.items() if key in paper or key not in OURS}
    assert found == {**paper, **here}


@pytest.mark.parametrize('name', [name for name in CONFIGS if '_search_' in name])
def test_a_search_trains_as_the_pretraining_of_its_framework(name):
    stem, backbone = name.split('_')[:2]
    backbone = backbone.replace('r50', 'r18')
    other = values(f'{stem}_{backbone}_baseline_cifar10' + '_demo' * name.endswith('_demo'))
    search = values(name)
    assert {key for key in other if search[key] != other[key]} <= {'epochs', 'images'}
