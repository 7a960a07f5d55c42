# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""RunStateHook: every generator of every process; what cannot be exact is said.

Its part in resumed runs as a whole is tested in test_train_loop.py and test_resume.py.
"""

import os
import random
import signal

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from nasiam_mm.engine.hooks.stateful_hook import RunStateHook
from nasiam_mm.engine.running import get_rng_state, set_rng_state
from nasiam_mm.files.checkpoint import read_checkpoint
from tests.test_engine.toy_siamese import build_runner, loader_cfg, run_two_processes

DEFAULT_HOOKS = dict(
    checkpoint=dict(type='AtomicCheckpointHook', interval=1),
    resume=dict(type='ResumeHook'),
    run_state=dict(type='RunStateHook'),
)


def draw():
    return random.gauss(0, 1), np.random.normal(), torch.randn(3).tolist()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(Config, 'pretty_text', '')


def test_generators_go_on_where_they_were(tmp_path):
    # An odd number of normal draws leaves one cached in Python's and NumPy's generators.
    draw()
    torch.save(get_rng_state(), tmp_path / 'rng.pth')
    expected = [draw() for _ in range(3)]
    set_rng_state(read_checkpoint(tmp_path / 'rng.pth'))
    assert [draw() for _ in range(3)] == expected


def test_every_cuda_device_is_read_and_restored(monkeypatch):
    states = {0: torch.tensor([1], dtype=torch.uint8), 1: torch.tensor([2], dtype=torch.uint8)}
    restored = {}
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'get_rng_state_all', lambda: list(states.values()))
    monkeypatch.setattr(torch.cuda, 'set_rng_state', lambda s, d: restored.update({d: s}))
    state = get_rng_state()
    # Of the two devices of the run one is left.
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 1)
    set_rng_state(state)
    assert restored == {0: states[0]}
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 3)
    set_rng_state(state)
    assert restored == states


def test_a_pass_of_a_loader_draws_nothing_from_the_global_generator(tmp_path):
    class HasLoader(Hook):
        loader = None

        def before_train(self, runner):
            self.loader = Runner.build_dataloader(loader_cfg(), seed=1)
            raise StopIteration

        def dataloaders(self):
            return [self.loader]

    runner = build_runner(tmp_path, [], 1, default_hooks={})
    owner = HasLoader()
    owner.loader = None
    runner.register_hook(owner)
    with pytest.raises(StopIteration):
        runner.train()
    hook = RunStateHook()
    runner.register_hook(hook)
    hook.before_train(runner)
    for loader in (runner.train_dataloader, owner.loader):
        assert isinstance(loader, DataLoader)
        before = torch.get_rng_state()
        iter(loader)
        assert torch.equal(torch.get_rng_state(), before)


class OwnDraws(Hook):
    """Each process draws from generators of its own; one of them may be told to stop."""

    def __init__(self, stop_after=None):
        self.stop_after = stop_after
        self.draws = []

    def before_train(self, runner):
        seed = 10 + runner.rank
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.draws.append(draw())

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.rank == 1 and runner.iter + 1 == self.stop_after:
            os.kill(os.getpid(), signal.SIGTERM)


def draws_of_rank(rank, work_dir, stop_after=None, resume=False, **changes):
    Config.pretty_text = ''
    hook = OwnDraws(stop_after)
    runner = build_runner(
        work_dir,
        [],
        1,
        train_cfg=dict(type='ResumableTrainLoop', max_epochs=1),
        resume=resume,
        **{'default_hooks': DEFAULT_HOOKS, **changes},
    )
    runner.register_hook(hook)
    status = error = None
    try:
        runner.train()
    except SystemExit as leaving:
        status = leaving.code
    except RuntimeError as raised:
        error = str(raised)
    return dict(draws=hook.draws, status=status, error=error)


def test_every_process_takes_up_its_own(tmp_path):
    (tmp_path / 'p').mkdir()

    def run(*args):
        (tmp_path / 'p/store').unlink(missing_ok=True)
        return run_two_processes(draws_of_rank, tmp_path / 'p', *args)

    whole = run(tmp_path / 'whole')
    assert whole[0]['draws'] != whole[1]['draws']
    first = run(tmp_path / 'torn', 2)
    # Only the second process got the signal; both left after the same iteration.
    assert [result['status'] for result in first] == [143, 143]
    second = run(tmp_path / 'torn', None, True)
    for rank in range(2):
        assert first[rank]['draws'] + second[rank]['draws'] == whole[rank]['draws']


def stock_checkpoints(rank, work_dir):
    hooks = {**DEFAULT_HOOKS, 'checkpoint': dict(type='CheckpointHook', interval=1)}
    return draws_of_rank(rank, work_dir, default_hooks=hooks)


def test_processes_need_the_hook_that_gathers(tmp_path):
    (tmp_path / 'p').mkdir()
    error = run_two_processes(stock_checkpoints, tmp_path / 'p', tmp_path / 'run')[0]['error']
    assert "set default_hooks.checkpoint.type='AtomicCheckpointHook'" in error


def test_a_checkpoint_of_more_processes_is_told(tmp_path):
    build_runner(tmp_path, [], 1, default_hooks=DEFAULT_HOOKS).train()
    path = tmp_path / 'epoch_1.pth'
    checkpoint = read_checkpoint(path)
    checkpoint['hooks']['RunStateHook']['ranks'] *= 2
    torch.save(checkpoint, path)
    MMLogger._instance_dict.clear()
    runner = build_runner(tmp_path, [], 1, default_hooks=DEFAULT_HOOKS, resume=True)
    runner.train()
    log = max(tmp_path.glob('*/*.log')).read_text()
    assert 'state of 2 processes, but 1 run; it is left out' in log
