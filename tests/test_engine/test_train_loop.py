# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""ResumableTrainLoop: where it starts, how it leaves, what hooks see of either.

1. Interrupted after any iteration, a run shows hooks the events that an uninterrupted one does.
2. Its end is the same: weights, learning rates, random numbers, accumulated gradients.
3. Validation leaves no trace in training; one that an interruption prevented is made up for.
4. Signals: status, message, the second one, several processes' agreement, workers.
"""

import multiprocessing
import os
import signal
import time

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.runner import ValLoop

from benchmarks.compare import compare_checkpoints
from nasiam_mm.engine.stop_signals import StopSignals
from nasiam_mm.registry import HOOKS, LOOPS
from tests.test_engine.toy_siamese import (
    ITERATIONS,
    build_runner,
    loader_cfg,
    run_two_processes,
)

DEFAULT_HOOKS = dict(
    checkpoint=dict(type='AtomicCheckpointHook', by_epoch=False, interval=1, max_keep_ckpts=2),
    resume=dict(type='ResumeHook'),
    run_state=dict(type='RunStateHook'),
)
REPLAYED = dict(
    batch_size=4,
    num_workers=0,
    drop_last=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='ReplaySampler'),
    dataset=dict(
        type='ReplayDataset', dataset=dict(type='Blobs', size=4 * ITERATIONS, views=2, augment=True)
    ),
)


@HOOKS.register_module(force=True)
class Witness(Hook):
    """Notes what happens; steps the learning rate as a hook that saves nothing would."""

    events = []

    def before_train_epoch(self, runner):
        for group in runner.optim_wrapper.optimizer.param_groups:
            group['lr'] = 0.01 * (runner.epoch + 1)

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        images = float(sum(view.double().sum() for view in data_batch['inputs']))
        self.events.append((runner.epoch, runner.iter, batch_idx, images, torch.rand(()).item()))
        for group in runner.optim_wrapper.optimizer.param_groups:
            group['lr'] *= 0.9

    def after_train_epoch(self, runner):
        self.events.append(('end of epoch', runner.epoch, runner.iter))


class Interrupts(Hook):
    """Signals the process after an iteration, or at the end of an epoch."""

    priority = 'LOWEST'

    def __init__(self, iteration=None, epoch=None, number=signal.SIGTERM):
        self.iteration, self.epoch, self.number = iteration, epoch, number

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == self.iteration:
            os.kill(os.getpid(), self.number)

    def after_train_epoch(self, runner):
        if runner.epoch + 1 == self.epoch:
            os.kill(os.getpid(), self.number)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(Config, 'pretty_text', '')
    # Loggers are kept by name and second of the run.
    MMLogger._instance_dict.clear()
    Witness.events = []


def runner_of(work_dir, resume=False, loader=REPLAYED, epochs=2, **changes):
    changes.setdefault('train_cfg', dict(type='ResumableTrainLoop', max_epochs=epochs))
    changes.setdefault('default_hooks', DEFAULT_HOOKS)
    changes.setdefault(
        'param_scheduler', [dict(type='CosineAnnealingLR', T_max=epochs, by_epoch=True)]
    )
    return build_runner(
        work_dir, [dict(type='Witness')], epochs, resume=resume, train_dataloader=loader, **changes
    )


def interrupted(runner, **how):
    runner.register_hook(Interrupts(**how))
    with pytest.raises(SystemExit) as left:
        runner.train()
    return left.value.code


def last(work_dir):
    return work_dir / f'iter_{2 * ITERATIONS}.pth'


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    """Folder and events of an uninterrupted run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Config, 'pretty_text', '')
        Witness.events = []
        folder = tmp_path_factory.mktemp('whole') / 'run'
        runner_of(folder).train()
    return folder, Witness.events


@pytest.mark.parametrize('iteration', [1, ITERATIONS - 1, ITERATIONS, ITERATIONS + 1])
def test_events_and_end_are_those_of_an_uninterrupted_run(whole, iteration, tmp_path):
    folder, events = whole
    assert len(events) == 2 * (ITERATIONS + 1)
    work_dir = tmp_path / 'run'
    assert interrupted(runner_of(work_dir), iteration=iteration) == 143
    seen = len(Witness.events)
    runner_of(work_dir, resume=True).train()
    assert 0 < seen < len(Witness.events)
    assert Witness.events == events
    assert compare_checkpoints(last(folder), last(work_dir)) == []


@pytest.mark.parametrize('how', [dict(epoch=2), dict(iteration=2 * ITERATIONS)])
def test_an_interruption_at_the_end_leaves_the_files_of_a_whole_run(how, whole, tmp_path):
    work_dir = tmp_path / 'run'
    assert interrupted(runner_of(work_dir), **how) == 143
    assert (work_dir / 'interrupted.pth').is_file()
    runner_of(work_dir, resume=True).train()
    names = [sorted(path.name for path in f.glob('*.pth')) for f in (whole[0], work_dir)]
    assert names[0] == names[1]
    assert (work_dir / 'last_checkpoint').read_text() == str(last(work_dir))


def test_interrupted_at_the_end_of_an_epoch(whole, tmp_path):
    folder, events = whole
    work_dir = tmp_path / 'run'
    assert interrupted(runner_of(work_dir), epoch=1) == 143
    runner_of(work_dir, resume=True).train()
    assert Witness.events == events
    assert compare_checkpoints(last(folder), last(work_dir)) == []


def test_interruption_leaves_no_file_behind_once_a_checkpoint_follows(whole, tmp_path):
    by_epoch = {**DEFAULT_HOOKS, 'checkpoint': dict(type='AtomicCheckpointHook', interval=1)}
    work_dir = tmp_path / 'run'
    interrupted(runner_of(work_dir, default_hooks=by_epoch), iteration=ITERATIONS + 2)
    assert {f.name for f in work_dir.glob('*.pth')} == {'epoch_1.pth', 'interrupted.pth'}
    assert (work_dir / 'last_checkpoint').read_text() == str(work_dir / 'interrupted.pth')
    runner_of(work_dir, resume=True, default_hooks=by_epoch).train()
    assert {f.name for f in work_dir.glob('*.pth')} == {'epoch_1.pth', 'epoch_2.pth'}
    assert Witness.events == whole[1]


def test_stock_sampler_is_wound_on(tmp_path):
    stock = loader_cfg(4, shuffle=True, size=4 * ITERATIONS, views=2, augment=True)
    whole, torn = tmp_path / 'whole', tmp_path / 'torn'
    runner_of(whole, loader=stock).train()
    events, Witness.events = Witness.events, []
    interrupted(runner_of(torn, loader=stock), iteration=ITERATIONS + 3)
    runner_of(torn, loader=stock, resume=True).train()
    assert Witness.events == events
    assert compare_checkpoints(last(whole), last(torn)) == []
    assert 'DefaultSampler cannot start within a pass: loading and dropping 3 batches' in log(torn)


def log(work_dir):
    return max(work_dir.glob('*/*.log')).read_text()


def test_accumulated_gradients_are_not_lost(tmp_path):
    accumulating = dict(
        optimizer=dict(type='SGD', lr=0.02, momentum=0.9),
        accumulative_counts=3,
        type='OptimWrapper',
    )
    whole, torn = tmp_path / 'whole', tmp_path / 'torn'
    runner_of(whole, optim_wrapper=accumulating).train()
    interrupted(runner_of(torn, optim_wrapper=accumulating), iteration=5)
    runner_of(torn, optim_wrapper=accumulating, resume=True).train()
    assert compare_checkpoints(last(whole), last(torn)) == []


@LOOPS.register_module(force=True)
class DrawingValLoop(ValLoop):
    """Draws random numbers, changes the mode of the model, and counts."""

    validated = []

    def __init__(self, runner, **kwargs):
        self._runner = runner

    def run(self):
        torch.rand(7)
        self.runner.model.eval()
        self.validated.append(self.runner.epoch)


def test_validation_leaves_no_trace_and_is_made_up_for(whole, tmp_path):
    val = dict(
        val_cfg=dict(type='DrawingValLoop'), val_dataloader=loader_cfg(), val_evaluator=dict()
    )
    DrawingValLoop.validated = []
    work_dir = tmp_path / 'run'
    # Before the validation of epoch 1, in the middle of epoch 2.
    interrupted(runner_of(work_dir, **val), epoch=1)
    assert DrawingValLoop.validated == []
    interrupted(runner_of(work_dir, resume=True, **val), iteration=ITERATIONS + 2)
    runner_of(work_dir, resume=True, **val).train()
    assert DrawingValLoop.validated == [1, 2]
    assert Witness.events == whole[1]


class StopsItself(Hook):
    """Asks for the end after this epoch, as CollapseHook does."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter == 2:
            runner.train_loop.stop_training = True


def test_a_run_that_was_about_to_stop_itself_does(tmp_path):
    runner = runner_of(tmp_path)
    runner.register_hook(StopsItself())
    interrupted(runner, iteration=3)
    runner_of(tmp_path, resume=True).train()
    assert Witness.events[-1] == ('end of epoch', 0, ITERATIONS)
    assert 'the run had stopped itself' in log(tmp_path)


def test_sigint_leaves_with_130_and_handlers_are_put_back(tmp_path):
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    assert interrupted(runner_of(tmp_path), iteration=2, number=signal.SIGINT) == 130
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
    (line,) = [line for line in log(tmp_path).splitlines() if 'SIGINT' in line]
    path = tmp_path / 'interrupted.pth'
    assert line.endswith(
        f'SIGINT: stopped after iteration 2 of {2 * ITERATIONS} (epoch 1 of 2); {path} written; '
        'go on with --resume'
    )


def test_only_a_later_second_signal_ends_at_once(monkeypatch, capfd):
    clock = [100.0]
    monkeypatch.setattr(time, 'monotonic', lambda: clock[0])
    # A shell lets what it starts in the background ignore SIGINT.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt), StopSignals() as signals:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)  # the launcher passes on
        clock[0] += 1.9
        os.kill(os.getpid(), signal.SIGINT)
        assert signals.agreed() == signal.SIGTERM
        clock[0] += 0.2
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError('still here')
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert capfd.readouterr().err == ('SIGTERM: stopping after this step; again to stop at once\n')


def agreed_in_turn(rank):
    with StopSignals() as signals:
        first = signals.agreed()
        if rank == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return dict(answers=[first, signals.agreed()])


def test_processes_agree(tmp_path):
    results = run_two_processes(agreed_in_turn, tmp_path)
    assert [result['answers'] for result in results] == [[None, signal.SIGTERM]] * 2


class Waits(Hook):
    """Tells that an iteration is reached and gives the other side time to signal."""

    def __init__(self, connection):
        self.connection = connection

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == 3:
            self.connection.send('reached')
            time.sleep(0.3)


def train_with_worker(work_dir, connection):
    os.setsid()
    torch.set_num_threads(1)
    loader = {**REPLAYED, 'num_workers': 1, 'persistent_workers': True}
    runner = runner_of(work_dir, loader=loader)
    runner.register_hook(Waits(connection))
    runner.train()


def test_a_signal_to_the_whole_process_group_spares_the_workers(whole, tmp_path):
    work_dir = tmp_path / 'run'
    context = multiprocessing.get_context('fork')
    here, there = context.Pipe()
    leader = context.Process(target=train_with_worker, args=[work_dir, there])
    leader.start()
    assert here.recv() == 'reached'
    os.killpg(leader.pid, signal.SIGTERM)
    leader.join()
    assert leader.exitcode == 143
    # How many workers there are does not matter.
    runner_of(work_dir, resume=True).train()
    assert compare_checkpoints(last(whole[0]), last(work_dir)) == []


def test_stock_loop_is_refused_for_checkpoints_by_iteration(tmp_path):
    runner = runner_of(tmp_path, train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=2))
    with pytest.raises(ValueError, match=r"train_cfg.type='ResumableTrainLoop'"):
        runner.train()


def test_fewer_images_than_a_batch_are_refused_before_anything_is_made(tmp_path):
    loader = {**REPLAYED, 'batch_size': 10**6, 'drop_last': True}
    with pytest.raises(ValueError, match='less than one batch; .* than 1000000'):
        runner_of(tmp_path, loader=loader).train()
    assert not list(tmp_path.glob('*.pth'))
