# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims about reading losses back from the device.

1. Between two logs an iteration of a shipped search reads nothing back.
2. The logged values and the history of a checkpoint are those of mmengine's own hook.
3. Histories stay as long as the log processor looks back, however long the run.
"""

import sys

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.runner import Runner
from torch.utils._python_dispatch import TorchDispatchMode

from nasiam_mm.engine.hooks.speed_hooks import BufferedRuntimeInfoHook
from nasiam_mm.presets import framework_names
from tests.reduced import light, reduced

LOGGED = 4  # iterations between two logs


def run(framework, work_dir, runtime_info='BufferedRuntimeInfoHook', hook=None):
    """Run a search of one epoch whose hooks all log every ``LOGGED`` iterations."""
    MessageHub._instance_dict.clear()
    name = f'nasiam/{framework}_r18_search_cifar10'
    cfg = light(reduced(name, work_dir, batch_size=16), stages=1)
    cfg.probe = None
    # Three logs and an iteration of 16 images.
    cfg.train_dataloader.dataset.dataset.parts = dict(weights=0.42, alpha=0.3)
    cfg.default_hooks.collapse.interval = None
    cfg.default_hooks.logger.interval = LOGGED
    cfg.default_hooks.runtime_info = dict(type=runtime_info)
    runner = Runner.from_cfg(cfg)
    if hook is not None:
        runner.register_hook(hook)
    runner.train()
    return runner


class CountReadBacks(TorchDispatchMode):
    """Counts tensors turned into Python numbers or arrays, where a GPU would be waited for.

    The step counter of Adam stays on the host on a GPU too; it does not count.
    """

    def __init__(self, monkeypatch):
        super().__init__()
        self.number = 0
        for name in ('tolist', 'numpy'):
            honest = getattr(torch.Tensor, name)

            def counted(tensor, *args, honest=honest, **kwargs):
                if sys._getframe(1).f_globals['__name__'].startswith('nasiam_mm.engine'):
                    self.number += 1
                return honest(tensor, *args, **kwargs)

            monkeypatch.setattr(torch.Tensor, name, counted)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten._local_scalar_dense.default and not _in_adam():
            self.number += 1
        return func(*args, **(kwargs or {}))


def _in_adam():
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_globals.get('__name__', '').startswith('torch.optim'):
            return True
        frame = frame.f_back
    return False


class NoteReadBacks(Hook):
    """Notes how many read-backs each iteration made, hooks included."""

    priority = 'LOWEST'

    def __init__(self, counter):
        self.counter = counter
        self.seen = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.seen.append(self.counter.number)
        self.counter.number = 0


@pytest.mark.parametrize('framework', framework_names())
def test_nothing_is_read_back_between_two_logs(framework, tmp_path, monkeypatch):
    counter = CountReadBacks(monkeypatch)
    notes = NoteReadBacks(counter)
    with counter:
        run(framework, tmp_path, hook=notes)
    assert len(notes.seen) >= 3 * LOGGED
    # The first iteration counts what prepares the run; the last ends the epoch.
    between = [n for i, n in enumerate(notes.seen, 1) if i % LOGGED and 1 < i < len(notes.seen)]
    assert between == [0] * len(between)
    # One for the losses, one for the alpha loss, seven by CollapseHook, two more for prototypes.
    logged = {notes.seen[i] for i in range(LOGGED - 1, len(notes.seen) - 1, LOGGED)}
    assert logged == {11 if framework == 'swav' else 9}


def test_the_stock_hook_reads_every_iteration(tmp_path, monkeypatch):
    counter = CountReadBacks(monkeypatch)
    notes = NoteReadBacks(counter)
    with counter:
        run('simclr', tmp_path, 'RuntimeInfoHook', hook=notes)
    assert min(notes.seen) >= 1


def test_history_is_that_of_the_stock_hook(tmp_path):
    buffered = run('simclr', tmp_path / 'a').message_hub.log_scalars
    stock = run('simclr', tmp_path / 'b', 'RuntimeInfoHook').message_hub.log_scalars
    assert buffered.keys() == stock.keys()
    for name in buffered.keys() - {'train/time', 'train/data_time', 'train/data_wait'}:
        assert np.array_equal(buffered[name].data[0], stock[name].data[0]), name
        assert np.array_equal(buffered[name].data[1], stock[name].data[1]), name


class SaveNow(Hook):
    """Saves between two logs."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == LOGGED + 2:
            runner.save_checkpoint(str(runner.work_dir), 'now.pth', by_epoch=False)
            runner.saved_loss = outputs['loss'].item()


def test_a_checkpoint_between_two_logs_holds_every_loss(tmp_path):
    # Weights alone: the state of the processes is gathered by the project's own checkpoint hook.
    class Weights(SaveNow):
        def after_train_iter(self, runner, *args, **kwargs):
            runner.call_hook('gather_rank_states')
            super().after_train_iter(runner, *args, **kwargs)

    runner = run('simclr', tmp_path, hook=Weights())
    saved = torch.load(tmp_path / 'now.pth', weights_only=False)['message_hub']['log_scalars']
    losses, _ = saved['train/loss'].data
    assert len(losses) == LOGGED + 2
    assert losses[-1] == runner.saved_loss


def test_history_does_not_grow(tmp_path, monkeypatch):
    monkeypatch.setattr(BufferedRuntimeInfoHook, 'min_history', 12)
    history = HistoryBuffer(list(range(500)), [1] * 500)

    class LongRun(Hook):
        def before_train(self, runner):
            runner.message_hub._log_scalars['train/loss'] = history

    run('simclr', tmp_path, hook=LongRun())
    assert history.max_length == len(history.data[0]) == 12


def test_history_holds_what_the_log_looks_back_on(monkeypatch):
    monkeypatch.setattr(BufferedRuntimeInfoHook, 'min_history', 10)

    class Processor:
        window_size = 30
        custom_cfg = [dict(data_src='loss', method_name='mean', window_size='epoch')]

    class Run:
        hooks, epoch, iter, max_epochs, max_iters = [], 0, 0, 3, 210
        log_processor = Processor
        message_hub = MessageHub('look-back')
        train_dataloader = torch.utils.data.DataLoader(torch.zeros(70))

    hook = BufferedRuntimeInfoHook()
    hook.before_train(Run)
    assert hook._kept == 70
    Processor.custom_cfg = [dict(window_size='global'), dict(data_src='time')]
    hook.before_train(Run)
    assert hook._kept == 210
