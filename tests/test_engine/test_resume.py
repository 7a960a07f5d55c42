# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Contract C6 on the shipped searches of all four frameworks, reduced.

1. Crashed within an epoch, crashed while writing, and terminated, a run ends as one never stopped.
2. The same with checkpoints by epoch, from whichever iteration the process dies at.
3. A real SIGKILL, then --resume, through tools/train.py.
"""

import os
import random
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from mmengine.runner import Runner

from benchmarks.compare import compare_checkpoints
from nasiam_mm.engine.hooks.checkpoint_hook import AtomicLocalBackend
from nasiam_mm.engine.running import get_rng_state
from nasiam_mm.presets import framework_names
from nasiam_mm.registry import HOOKS
from tests.forked import run_forked
from tests.reduced import ROOT, light, reduced

FRAMEWORKS = framework_names()
EPOCH = 6  # iterations


class Dead(BaseException):
    """The process is gone: no handler of exceptions runs."""


@HOOKS.register_module(force=True)
class Dice(Hook):
    """Makes the weights depend on every random number that the run draws."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        drawn = random.random() + np.random.rand() + torch.rand(()).item()
        weight = next(runner.model.backbone.parameters())
        weight.data.add_(1e-3 * drawn)


class DiesAfter(Hook):
    """Ends the process after an iteration, before or after a checkpoint could be written."""

    def __init__(self, iteration, signal_number=None, priority='LOWEST'):
        self.iteration = iteration
        self.signal_number = signal_number
        self.priority = priority

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == self.iteration:
            if self.signal_number is None:
                raise Dead
            os.kill(os.getpid(), self.signal_number)


def search(framework, work_dir, resume=False, **checkpoint):
    """Build a search of 2 epochs of ``EPOCH`` iterations."""
    MessageHub._instance_dict.clear()
    name = f'nasiam/{framework}_r18_search_cifar10'
    cfg = light(reduced(name, work_dir, epochs=2, batch_size=16), stages=1)
    for part in (cfg.train_dataloader, cfg.default_hooks.alpha_step.dataloader):
        part.dataset.dataset.parts = dict(weights=0.2, alpha=0.3)
    cfg.probe = None
    cfg.optim_wrapper.optimizer.lr *= 16 / 512  # as the batch
    if framework == 'swav':  # a queue that is full, and begins anew, within the run
        cfg.model.head.loss.queue_len = 40
        cfg.default_hooks.prototypes.queue_epoch = 0
    cfg.custom_hooks = [dict(type='Dice')]
    cfg.default_hooks.collapse.interval = 2
    cfg.default_hooks.checkpoint.update(max_keep_ckpts=2, **checkpoint)
    cfg.resume = resume
    return Runner.from_cfg(cfg)


def died(runner, *deaths):
    """Train until the process dies; return how."""
    for death in deaths:
        runner.register_hook(death)
    with pytest.raises((Dead, SystemExit)) as caught:
        runner.train()
    return caught.value


def assert_same_end(one, other, checkpoint):
    assert compare_checkpoints(one / checkpoint, other / checkpoint) == []
    for name in ('genotype.json', 'alpha.json', 'genotypes/epoch_1.json', 'genotypes/epoch_2.json'):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


@pytest.mark.parametrize('framework', FRAMEWORKS)
def test_a_run_that_dies_four_times_ends_as_one_that_does_not(framework, tmp_path, monkeypatch):
    every_two = dict(by_epoch=False, interval=2)
    whole, torn = tmp_path / 'whole', tmp_path / 'torn'
    search(framework, whole, **every_two).train()
    end = get_rng_state()

    # Within an epoch, an iteration after the last checkpoint.
    died(search(framework, torn, **every_two), DiesAfter(3))
    # While the checkpoint of an epoch's last iteration is being written.
    put = AtomicLocalBackend.put

    def die_writing(self, obj, path):
        if str(path).endswith('iter_6.pth'):
            (torn / '.iter_6.pth.ab3_x9y2').write_bytes(obj[: len(obj) // 2])
            raise Dead
        put(self, obj, path)

    monkeypatch.setattr(AtomicLocalBackend, 'put', die_writing)
    died(search(framework, torn, resume=True, **every_two))
    monkeypatch.setattr(AtomicLocalBackend, 'put', put)
    # Between an epoch's last iteration and its end.
    died(search(framework, torn, resume=True, **every_two), DiesAfter(6))
    assert (torn / 'iter_6.pth').exists() and not list(torn.glob('.iter*'))
    # Terminated.
    leaving = died(search(framework, torn, resume=True, **every_two), DiesAfter(9, signal.SIGTERM))
    assert leaving.code == 143
    assert torch.load(torn / 'interrupted.pth', weights_only=False)['meta']['iter'] == 9
    torch.manual_seed(99)
    search(framework, torn, resume=True, **every_two).train()

    assert_same_end(whole, torn, 'iter_12.pth')
    assert repr(get_rng_state()) == repr(end)
    assert sorted(f.name for f in torn.glob('*.pth')) == ['iter_10.pth', 'iter_12.pth']


def test_with_checkpoints_by_epoch_too(tmp_path):
    whole, torn = tmp_path / 'whole', tmp_path / 'torn'
    search('simclr', whole).train()
    # Nothing is saved yet: from the beginning.
    died(search('simclr', torn), DiesAfter(EPOCH))
    leaving = died(search('simclr', torn, resume=True), DiesAfter(EPOCH, signal.SIGINT))
    assert leaving.code == 130
    # The end of epoch 1, which the signal prevented, comes first.
    died(search('simclr', torn, resume=True), DiesAfter(EPOCH + 2))
    assert (torn / 'genotypes/epoch_1.json').exists()
    assert sorted(f.name for f in torn.glob('*.pth')) == ['epoch_1.pth']
    search('simclr', torn, resume=True).train()
    assert_same_end(whole, torn, 'epoch_2.pth')


def tool_process(config):
    command = [sys.executable, '-W', 'ignore', ROOT / 'tools/train.py', config, '--verbose']
    environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT)}
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_killed_process_is_resumed_by_the_tool(tmp_path, monkeypatch):
    monkeypatch.undo()  # the config is needed as text
    torn, whole = tmp_path / 'torn', tmp_path / 'whole'
    name = 'nasiam/simclr_r18_search_cifar10'
    cfg = light(reduced(name, torn, epochs=2, batch_size=50), stages=1)
    cfg.probe = None
    cfg.default_hooks.genotype.interval = 2
    cfg.default_hooks.checkpoint.update(by_epoch=False, interval=3)
    config = tmp_path / 'small.py'
    cfg.dump(config)
    with tool_process(config) as process:
        for line in process.stdout:
            if 'Saving checkpoint at 6 iterations' in line:
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    resumed = run_forked(ROOT / 'tools/train.py', config, '--resume')
    assert resumed.returncode == 0, resumed.stderr
    assert f'resuming from {torn}/iter_' in resumed.stdout
    MessageHub._instance_dict.clear()
    cfg = Config.fromfile(config)
    cfg.work_dir = str(whole)
    Runner.from_cfg(cfg).train()
    assert compare_checkpoints(whole / 'iter_10.pth', torn / 'iter_10.pth') == []
    assert (whole / 'alpha.json').read_bytes() == (torn / 'alpha.json').read_bytes()
