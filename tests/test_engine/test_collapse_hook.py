# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims about the collapse hook, on a SimSiam whose neck follows a script.

1. It samples at the iterations it says, the weight step's z, and its figures reach the log.
2. It warns once per onset, or stops, at the scripted iteration; never when healthy.
3. Each threshold judges its own measure.
"""

import json
import re
from collections import defaultdict

import pytest
import torch
from mmengine.hooks import Hook

from nasiam_mm.engine.hooks import collapse_hook
from nasiam_mm.engine.hooks.collapse_hook import CollapseHook
from nasiam_mm.evaluation.collapse import channel_std, effective_rank
from nasiam_mm.registry import HOOKS
from tests.test_engine.toy_siamese import (
    ITERATIONS,
    collapse_lines,
    iterations_of,
    scripted_runner,
)


@HOOKS.register_module(force=True)
class StepLikeAlpha(Hook):
    """Runs the neck before the weight step, on something collapsed."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        runner.model.neck.in_alpha_step = True
        data = runner.model.data_preprocessor(data_batch, True)
        runner.model.loss(data['inputs'], data['data_samples'])
        runner.model.neck.in_alpha_step = False


def train(*args, log_interval=3, **kwargs):
    logger = {'type': 'LoggerHook', 'interval': log_interval, 'ignore_last': False}
    runner = scripted_runner(*args, default_hooks={'logger': logger}, **kwargs)
    runner.train()
    return runner


def history(runner, name):
    return runner.message_hub.get_scalar(f'train/collapse/{name}').data[0].tolist()


@pytest.fixture
def measured(monkeypatch):
    """How often each measure is taken."""
    counts = defaultdict(int)

    def counting(measure):
        def wrapper(z):
            counts[measure.__name__] += 1
            return measure(z)

        return wrapper

    monkeypatch.setattr(collapse_hook, 'channel_std', counting(channel_std))
    monkeypatch.setattr(collapse_hook, 'effective_rank', counting(effective_rank))
    return counts


@pytest.mark.parametrize('alpha_priority', [None, 'NORMAL', 'LOWEST'])
def test_samples_the_weight_step(tmp_path, measured, alpha_priority):
    hooks = [{'type': 'CollapseHook', 'interval': 3}]
    if alpha_priority:
        hooks.append({'type': 'StepLikeAlpha', 'priority': alpha_priority})
    runner = train(tmp_path, 'H', {}, custom_hooks=hooks)

    # Iterations 3 and 6 and the last, 7, of both epochs; z of the second view.
    sampled = [3, 6, 7, 10, 13, 14]
    outputs = [runner.model.neck.seen[2 * iteration - 1] for iteration in sampled]
    assert history(runner, 'std') == pytest.approx([channel_std(z).item() for z in outputs])
    ranks = [effective_rank(z).item() for z in outputs]
    assert history(runner, 'effective_rank') == pytest.approx(ranks)
    assert measured == {'channel_std': 6, 'effective_rank': 6}
    assert collapse_lines(tmp_path) == []


def test_figures_reach_the_next_line_of_the_log(tmp_path):
    runner = train(tmp_path, 'HHHCHHHHHH', {'interval': 1}, log_interval=2)
    std = history(runner, 'std')
    assert len(std) == 2 * ITERATIONS and std[3] < 0.01 < 0.5 < std[1]
    (scalars,) = tmp_path.glob('*/vis_data/scalars.json')
    rows = {row['step']: row for row in map(json.loads, scalars.read_text().splitlines())}
    assert list(rows) == [2, 4, 6, 7, 9, 11, 13, 14]
    for step, row in rows.items():
        assert row['collapse/std'] == std[step - 1]
        assert row['collapse/effective_rank'] == history(runner, 'effective_rank')[step - 1]
    (log,) = tmp_path.glob('*/*.log')
    assert f'collapse/std: {std[3]:.4f}  collapse/effective_rank: 1.0' in log.read_text()


def test_interval_of_the_logger(tmp_path):
    runner = train(tmp_path, 'H', {'interval': None}, max_epochs=1, log_interval=2)
    assert len(history(runner, 'std')) == 4  # iterations 2, 4, 6, 7


def test_reads_nothing_back_between_samples(tmp_path, monkeypatch):
    runner = scripted_runner(tmp_path, 'H', {'interval': 3}, max_epochs=1)
    (hook,) = [hook for hook in runner.hooks if isinstance(hook, CollapseHook)]
    captured = []
    monkeypatch.setattr(hook, '_judge', lambda runner, sample: captured.append(runner.iter + 1))
    runner.train()
    assert captured == [3, 6, 7]
    outputs = {'loss': 'not a tensor'}  # touching it would raise
    hook.after_train_iter(runner, 0, None, outputs)
    hook._capture(None, (), (torch.ones(4, 8),))
    assert hook._z is None


def test_warns_once_per_onset(tmp_path):
    script = 'HHCCCHC' + 'HCCCCHH'
    runner = train(tmp_path, script, {'interval': 1, 'patience': 2})
    lines = collapse_lines(tmp_path)
    assert iterations_of(lines) == [4, 10]
    assert 'WARNING' in lines[0] and 'iteration 4 (epoch 1): std 0.00' in lines[0]
    assert '< 0.1' in lines[0] and lines[1].endswith('lower the learning rate or check the head')
    assert 'iteration 10 (epoch 2)' in lines[1]
    assert runner.iter == 2 * ITERATIONS


def test_patience_of_one(tmp_path):
    train(tmp_path, 'HHHHHHH' + 'HHHHHHC', {'interval': 1, 'patience': 1})
    assert iterations_of(collapse_lines(tmp_path)) == [14]


def test_stop_ends_after_the_epoch(tmp_path):
    runner = train(
        tmp_path, 'HHHHHHHHC', {'interval': 1, 'patience': 2, 'action': 'stop'}, max_epochs=4
    )
    assert (runner.epoch, runner.iter) == (2, 2 * ITERATIONS)
    (line,) = collapse_lines(tmp_path)
    assert iterations_of([line]) == [10] and line.endswith('training stops')
    assert not (tmp_path / 'last_healthy.pth').exists()


def test_stop_ends_at_once_in_an_iteration_based_loop(tmp_path):
    runner = train(
        tmp_path,
        'HHHHC',
        {'interval': 1, 'patience': 2, 'action': 'stop'},
        train_cfg={'by_epoch': False, 'max_iters': 7},
        log_processor={'by_epoch': False},
    )
    assert runner.iter == 6
    assert iterations_of(collapse_lines(tmp_path)) == [6]


def test_healthy_run_is_not_touched(tmp_path):
    hook = {'interval': 1, 'patience': 1, 'rank_threshold': 1.05, 'action': 'rollback'}
    runner = train(tmp_path, 'H', hook, max_epochs=3)
    assert runner.iter == 3 * ITERATIONS
    assert collapse_lines(tmp_path) == []


@pytest.mark.parametrize(
    ('script', 'hook', 'expected'),
    [
        # A line through the origin is spread as widely as a ball, but has one dimension.
        ('HHHL', {}, []),
        ('HHHL', {'rank_threshold': 1.05}, [(6, 'effective_rank 1 < 1.05')]),
        ('HHHC', {'std_threshold': None}, []),
        (
            'HHHC',
            {'rank_threshold': 1.05},
            [(6, r'std 0.00\d+ < 0.1, effective_rank 1.0\d* < 1.05')],
        ),
        # Negative cosines lie above -1 and below 1.
        ('H', {'loss_threshold': -1.01}, []),
        ('H', {'loss_threshold': 1.01}, [(3, r'loss -?0.\d+ < 1.01')]),
    ],
)
def test_thresholds(tmp_path, script, hook, expected):
    train(tmp_path, script, {'interval': 1, 'patience': 3, **hook}, max_epochs=1)
    lines = collapse_lines(tmp_path)
    assert iterations_of(lines) == [iteration for iteration, _ in expected]
    for line, (_, measures) in zip(lines, expected, strict=True):
        assert re.search(rf'\(epoch 1\): {measures}; lower', line)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'action': 'abort'}, "must be one of .* got 'abort'"),
        ({'patience': 0}, 'at least 1, got patience=0'),
        ({'interval': 0}, 'at least 1, got patience=3, interval=0'),
    ],
)
def test_impossible_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        CollapseHook(**arguments)


def test_model_without_a_neck(tmp_path):
    runner = scripted_runner(tmp_path, 'H', {})
    runner.model.neck = None
    with pytest.raises(ValueError, match=r'model\.neck, which SimSiam does not have'):
        runner.train()
