# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The length of a run and a rate stand in one place each; what depends on them follows."""

import math

import pytest
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import RUNNERS

from nasiam_mm.engine.hooks.collapse_hook import CollapseHook
from nasiam_mm.engine.schedule import check_schedules
from tests.reduced import ROOT, light, reduced

RECIPES = sorted((ROOT / 'configs/nasiam').glob('*.py'))
SEARCH = 'nasiam/simsiam_r18_search_cifar10_demo'


@pytest.mark.parametrize('path', RECIPES, ids=lambda path: path.stem)
def test_a_recipe_says_its_epochs_and_its_rate_once(path):
    cfg = Config.fromfile(path)
    *_, cosine = cfg.param_scheduler
    assert not {'T_max', 'end'} & cosine.keys()
    for epochs in (cfg.train_cfg.max_epochs, 47):
        cfg.train_cfg.max_epochs = epochs
        assert check_schedules(cfg) == []
    hooks = cfg.default_hooks.values()
    assert not any('lr' in hook for hook in hooks)


@pytest.mark.parametrize(
    ('scheduler', 'message'),
    [
        (dict(T_max=3), 'is over at 3 of train_cfg.max_epochs 6, and the rate would climb'),
        (dict(begin=6), 'begins at 6, train_cfg.max_epochs is 6'),
        (dict(T_max=3, end=3), ''),
        (dict(T_max=6), ''),
        (dict(T_max=60, by_epoch=False), ''),
        (dict(end=4), ''),
    ],
)
def test_a_cosine_that_does_not_fit_its_run(scheduler, message):
    cosine = dict(type='CosineAnnealingLR', **scheduler)
    cfg = dict(train_cfg=dict(max_epochs=6), param_scheduler=[cosine])
    assert [message in told for told in check_schedules(cfg)] == [True] * (message != '')


def test_a_warm_up_longer_than_the_run_is_told_with_what_shortens_it():
    rows = [dict(type='LinearLR', end=40), dict(type='CosineAnnealingLR', begin=40)]
    named = 'give param_scheduler.1.begin and param_scheduler.0.end'
    for epochs, mend in ((2, f'; {named} a number below it'), (1, f'; make that 2 and {named} 1')):
        (told,) = check_schedules(dict(train_cfg=dict(max_epochs=epochs), param_scheduler=rows))
        assert told.endswith(mend)
    rows = [dict(type='LinearLR', end=1), dict(type='CosineAnnealingLR', begin=1)]
    assert check_schedules(dict(train_cfg=dict(max_epochs=2), param_scheduler=rows)) == []


def test_periods_that_follow_each_other():
    rows = [dict(type='CosineAnnealingLR', T_max=3), dict(type='ConstantLR', begin=3)]
    assert check_schedules(dict(train_cfg=dict(max_epochs=6), param_scheduler=rows)) == []


class Rates(Hook):
    """Notes the rates of the groups in each weight step."""

    priority = 'HIGHEST'  # before the schedule moves them

    def __init__(self):
        self.seen = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.seen.append([group['lr'] for group in runner.optim_wrapper.optimizer.param_groups])


@pytest.mark.parametrize('scaled', [False, True])
def test_the_predictor_keeps_the_optimizers_own_rate(tmp_path, scaled):
    cfg = light(reduced(SEARCH, tmp_path, epochs=2))
    cfg.param_scheduler = [
        dict(type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True)
    ]
    cfg.optim_wrapper.optimizer.lr = 0.5
    cfg.auto_scale_lr = dict(base_batch_size=64, enable=scaled)
    cfg.merge_from_dict({'default_hooks.collapse': None, 'probe': None})
    runner, rates = RUNNERS.build(cfg), Rates()
    runner.register_hook(rates)
    runner.train()
    (log,) = tmp_path.glob('*/*.log')
    told = 'the learning rate is for 64 images a step, this run takes 32; --auto-scale-lr'
    assert (told in log.read_text()) is not scaled
    assert not any(isinstance(hook, CollapseHook) for hook in runner.hooks)
    first = 0.25 if scaled else 0.5
    fixed = [bool(group.get('fix_lr')) for group in runner.optim_wrapper.optimizer.param_groups]
    assert sorted(set(fixed)) == [False, True]
    for number, row in enumerate(rates.seen):
        cosine = first * (1 + math.cos(math.pi * number / len(rates.seen))) / 2
        assert row == pytest.approx([first if still else cosine for still in fixed])
