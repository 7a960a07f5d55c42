# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Whoever measures for the log does so when the run logs; the log of each search holds alpha."""

import json
from types import SimpleNamespace

import pytest
from mmengine.config import Config
from mmengine.hooks import LoggerHook
from mmengine.logging import MessageHub
from mmengine.registry import RUNNERS

from nasiam_mm.engine.running import is_logged
from nasiam_mm.files.shipped import framework_names
from tests.reduced import ROOT, light, reduced

SEARCHES = sorted(f.stem for f in (ROOT / 'configs/nasiam').glob('*_search_*.py'))


@pytest.mark.parametrize(
    ('intervals', 'length', 'expected'),
    [([3], 7, [2, 5, 6]), ([], 4, [3]), ([2, 3], 5, [1, 2, 3, 4]), ([50], 3, [2])],
)
def test_logs_come_at_the_interval_and_at_the_end_of_an_epoch(intervals, length, expected):
    hooks = [LoggerHook(interval=number) for number in intervals]
    runner = SimpleNamespace(hooks=hooks, train_dataloader=range(length))
    assert [number for number in range(length) if is_logged(runner, number)] == expected


def test_each_framework_has_four_searches():
    scales = 'r18_search_cifar10', 'r18_search_cifar10_demo', 'r18_search_cifar100'
    scales += ('r50_search_cifar100',)
    assert {f'{name}_{scale}' for name in framework_names() for scale in scales} <= {*SEARCHES}


@pytest.mark.parametrize('framework', framework_names())
def test_the_log_of_a_search_holds_the_loss_of_alpha(framework, tmp_path):
    MessageHub._instance_dict.clear()
    cfg = light(reduced(f'nasiam/{framework}_r18_search_cifar10', tmp_path, batch_size=64), 1)
    cfg.probe = None
    cfg.setdefault('runner_type', 'Runner')
    runner = RUNNERS.build(cfg)
    runner.train()
    (scalars,) = tmp_path.glob('*/vis_data/scalars.json')
    rows = [json.loads(line) for line in scalars.read_text().splitlines()]
    # The recipe's own interval, which a short epoch does not reach.
    assert [row['iter'] for row in rows if 'alpha_loss' in row] == [runner.iter]
    assert runner.iter < cfg.default_hooks.logger.interval
    (log,) = tmp_path.glob('*/*.log')
    assert 'alpha_loss: ' in log.read_text()


@pytest.mark.parametrize('framework', framework_names())
def test_searches_of_a_framework_log_alike(framework):
    def who_logs(name):
        cfg = Config.fromfile(ROOT / f'configs/nasiam/{name}.py')
        hooks = {name: hook.type for name, hook in cfg.default_hooks.items()}
        kinds = cfg.runner_type, cfg.train_cfg.type, cfg.model.type
        # When alpha is stepped, whatever by and on: from the first epoch on, or its loss is late.
        step = {k: v for k, v in cfg.default_hooks.alpha_step.items()
                if k not in ('dataloader', 'optimizer')}  # fmt: skip
        return kinds, hooks, step, cfg.default_hooks.logger, cfg.get('log_processor')

    first, *others = (who_logs(name) for name in SEARCHES if name.startswith(f'{framework}_'))
    assert len(others) >= 3 and all(other == first for other in others)
