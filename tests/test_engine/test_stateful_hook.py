# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""StatefulHook: a state goes with the checkpoint and comes back whole, or is refused by name."""

from types import NoneType
from typing import ClassVar

import pytest
import torch

from nasiam_mm.engine.hooks.stateful_hook import StatefulHook
from nasiam_mm.registry import HOOKS
from tests.test_engine.toy_siamese import build_runner


@HOOKS.register_module(force=True)
class Counter(StatefulHook):
    """Counts iterations, by a step of its own."""

    state_types: ClassVar = {'count': int, 'note': (str, NoneType)}

    def __init__(self, step=1):
        self.step, self.count, self.note = step, 0, None

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.count += self.step


TWO = [dict(type='Counter'), dict(type='Counter', step=10)]


@pytest.fixture
def checkpoint(tmp_path):
    build_runner(tmp_path / 'first', TWO, 1).train()
    return tmp_path / 'first/epoch_1.pth'


def resumed(folder, checkpoint, resume=True):
    runner = build_runner(folder, TWO, 2, load_from=str(checkpoint), resume=resume)
    runner.train()
    return [hook.count for hook in runner.hooks if isinstance(hook, Counter)]


def test_each_hook_takes_up_its_own_state(checkpoint, tmp_path):
    states = torch.load(checkpoint, weights_only=False)['hooks']
    assert states == {
        'Counter': {'count': 7, 'note': None},
        'Counter#2': {'count': 70, 'note': None},
    }
    assert resumed(tmp_path / 'resumed', checkpoint) == [14, 140]


def test_weights_alone_bring_no_state(checkpoint, tmp_path):
    assert resumed(tmp_path / 'loaded', checkpoint, resume=False) == [14, 140]
    changed = torch.load(checkpoint, weights_only=False)
    del changed['hooks']
    torch.save(changed, checkpoint)
    assert resumed(tmp_path / 'again', checkpoint, resume=False) == [14, 140]


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda c: c.pop('hooks'), 'holds no state of Counter; resume from one of a run with'),
        (lambda c: c.update(hooks=[]), 'holds no state of Counter;'),
        (lambda c: c['hooks'].pop('Counter#2'), 'holds no state of Counter#2;'),
        (lambda c: c['hooks'].update(Counter=3), 'holds no state of Counter;'),
        (lambda c: c['hooks']['Counter'].pop('count'), "state of Counter in the .* lacks 'count'"),
        (
            lambda c: c['hooks']['Counter#2'].update(count='7'),
            'state of Counter#2 in the checkpoint does not fit this run: count is of type str',
        ),
    ],
)
def test_what_is_not_whole_is_refused_in_one_line(checkpoint, tmp_path, change, message):
    changed = torch.load(checkpoint, weights_only=False)
    change(changed)
    torch.save(changed, checkpoint)
    with pytest.raises(ValueError, match=message) as caught:
        resumed(tmp_path / 'resumed', checkpoint)
    assert '\n' not in str(caught.value)


def test_a_state_that_does_not_fit_is_refused_by_name(checkpoint, tmp_path, monkeypatch):
    def refuse(self, state):
        raise RuntimeError('a size\nof 3')

    monkeypatch.setattr(Counter, 'load_state_dict', refuse)
    with pytest.raises(ValueError, match='state of Counter in .* not fit this run: a size of 3'):
        resumed(tmp_path / 'resumed', checkpoint)
