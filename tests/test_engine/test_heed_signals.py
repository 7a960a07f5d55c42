# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A signal that comes behind the last iteration, while a hook works on."""

import signal

import pytest
from mmengine.hooks import Hook

from nasiam_mm.engine.stop_signals import heed_signals
from tests.test_engine.test_train_loop import ITERATIONS, log, runner_of


class WorksOn(Hook):
    """Works at the end of a run, in two steps."""

    def __init__(self, number=None):
        self.number, self.is_done = number, False

    def after_train(self, runner):
        runner.train_loop.signals.received = self.number
        heed_signals(runner)
        self.is_done = True


def test_a_signal_behind_the_last_iteration_saves_the_run_and_a_resumed_one_works_on(tmp_path):
    works = [WorksOn(signal.SIGTERM), WorksOn()]
    runner = runner_of(tmp_path)
    runner.register_hook(works[0])
    with pytest.raises(SystemExit) as left:
        runner.train()
    assert left.value.code == 143
    done = f'stopped after iteration {2 * ITERATIONS} of {2 * ITERATIONS} (epoch 2 of 2)'
    assert f'{done}; {tmp_path}/interrupted.pth written; go on with' in log(tmp_path)
    again = runner_of(tmp_path, resume=True)
    again.register_hook(works[1])
    again.train()
    assert again.iter == 2 * ITERATIONS and [work.is_done for work in works] == [False, True]
