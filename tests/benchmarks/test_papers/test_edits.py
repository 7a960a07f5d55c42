# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What rows change in shipped configs, and that they change nothing else."""

import pytest
from mmengine.config import Config

from benchmarks.papers.catalogue import find_table
from benchmarks.papers.edits import (
    batch_size,
    epochs,
    part_of_training_set,
    predictor_lr,
    put,
    resnet50,
    space,
)
from benchmarks.papers.planning import config_changes, read_recipe
from benchmarks.papers.spec import Recipe
from nasiam_mm.config_walk import find_hook
from nasiam_mm.datasets import split_indices
from tests.reduced import ROOT

SEARCH, BASELINE = 'nasiam/simsiam_r18_search_cifar10', 'nasiam/simsiam_r18_baseline_cifar10'


def changes(config, *edits):
    return config_changes(Recipe(config, edits), ROOT)


def test_a_recipe_without_edits_changes_nothing():
    assert changes(SEARCH) == {}


def test_epochs_stand_in_one_place():
    assert changes(SEARCH, epochs(50)) == {'train_cfg.max_epochs': 50}


def test_epochs_leave_a_warm_up_alone():
    found = changes('nasiam/byol_r50_pretrain_imagenet', epochs(60))
    assert found == {'train_cfg.max_epochs': 60, 'train_dataloader.batch_size': 4096}
    with pytest.raises(ValueError, match='10 epochs end before the warm-up of 10'):
        changes('nasiam/byol_r50_pretrain_imagenet', epochs(10))


@pytest.mark.parametrize(
    ('config', 'whole'),
    [
        ('nasiam/simsiam_r50_baseline_imagenet', 256),
        ('nasiam/simclr_r50_pretrain_imagenet', 4096),
        ('benchmarks/linear/r50_imagenet_linear', 4096),
    ],
)
def test_one_process_holds_the_batch_that_the_rates_are_for(config, whole):
    assert changes(config) == {'train_dataloader.batch_size': whole}


def test_learning_rates_follow_the_batch_size():
    found = changes(SEARCH, batch_size(256))
    assert found['optim_wrapper.optimizer.lr'] == pytest.approx(0.03)
    assert found['train_dataloader.batch_size'] == 256
    assert found['default_hooks.alpha_step.dataloader.batch_size'] == 256
    # Neither the learning rate of alpha nor the loaders of the kNN probe.
    assert 'default_hooks.alpha_step.optimizer.lr' not in found
    assert len([name for name in found if name.endswith('batch_size')]) <= 3


def test_large_batches_of_simsiam_are_warmed_up_as_other_recipes():
    rows = {row.name: row.recipe for row in find_table('simsiam-ablations', 'paper').rows}
    for size in (128, 1024, 4096):
        cfg = read_recipe(rows[f'batch {size}'], ROOT)
        assert len(cfg.param_scheduler) == 1 + (size >= 1024)
        assert cfg.optim_wrapper.optimizer.lr == pytest.approx(0.03 * size / 256)
    ours = read_recipe(Recipe('nasiam/byol_r50_baseline_imagenet'), ROOT).param_scheduler
    assert cfg.param_scheduler == ours


def test_the_space_is_exchanged():
    found = changes(SEARCH, space(['linear_bn_relu', 'identity']))
    assert found == {
        'model.space.1': 'identity',
        'model.space.2': None,
        'model.space.3': None,
    }


def test_resnet50_widens_what_is_as_wide_as_the_features():
    found = changes(SEARCH, resnet50())
    widths = {f'model.neck.{name}_channels': 2048 for name in ('in', 'hidden')}
    assert found == {'model.backbone.depth': 50, **widths}


def test_the_predictor_learns_at_a_multiple():
    found = changes(BASELINE, predictor_lr(0.3))
    keys = 'optim_wrapper.paramwise_cfg.custom_keys.predictor'
    assert found[f'{keys}.lr_mult'] == 0.3
    assert found[f'{keys}.fix_lr'] is None
    cfg = Config.fromfile(ROOT / f'configs/{BASELINE}.py')
    predictor_lr(0.3)(cfg)
    assert find_hook(cfg, 'FixedLrHook') is None


@pytest.mark.parametrize(
    ('config', 'size', 'train', 'val'),
    [(BASELINE, 50000, 40000, 10000), (f'{BASELINE}_demo', 50000, 8000, 2000)],
)
def test_the_split_of_study_003(config, size, train, val):
    cfg = Config.fromfile(ROOT / f'configs/{config}.py')
    part_of_training_set(0.8)(cfg)
    cuts = [cfg.train_dataloader.dataset.dataset, cfg.probe.bank.dataset, cfg.probe.query.dataset]
    pretrained, bank, query = (
        set(split_indices(size, cut.parts, cut.seed)[cut.part].tolist()) for cut in cuts
    )
    assert pretrained == bank
    assert (len(bank), len(query)) == (train, val)
    assert not bank & query
    assert {cut.dataset.type for cut in cuts} == {'Images'}


def test_put_replaces_a_dict_whole():
    found = changes(BASELINE, put('model.head.loss', dict(type='SoftmaxSimilarityLoss')))
    assert found == {'model.head.loss.type': 'SoftmaxSimilarityLoss'}
