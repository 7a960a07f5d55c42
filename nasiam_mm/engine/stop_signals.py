# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Signals that ask a training to end, noted until its iteration is finished."""

import os
import signal
import threading
import time
from contextlib import ExitStack
from typing import Any

import torch
import torch.distributed as torch_dist
from mmengine.dist import get_world_size
from mmengine.runner import Runner


class StopAsked(Exception):
    """A signal came while a hook worked long after the last iteration."""


def heed_signals(runner: Runner) -> None:
    """Let what works long after the last iteration of a run end where a signal has come.

    All processes have to call this. ``ResumableTrainLoop`` saves the run, which does that work
    again when it is resumed.

    Raises:
        StopAsked: If any process has received one.
    """
    signals = getattr(getattr(runner, '_train_loop', None), 'signals', None)
    if signals is not None and signals.agreed() is not None:
        raise StopAsked


class StopSignals(ExitStack):
    """While entered, in a main thread, note the first SIGTERM or SIGINT instead of dying of it.

    A second one, later than what a launcher passes on, acts as it would have outside.
    """

    # A launcher passes a signal on that its processes have got already: that is one wish, not two.
    same_wish_seconds = 2.0
    received: int | None = None
    _group: Any = None

    def __enter__(self) -> 'StopSignals':
        self._process = os.getpid()
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self.callback(signal.signal, number, signal.signal(number, self._note))
        if get_world_size() > 1 and torch_dist.get_backend() != 'gloo':
            # On the CPU, so that asking does not make a GPU wait.
            self._group = torch_dist.new_group(backend='gloo')
        return self

    def agreed(self) -> int | None:
        """Return the signal that any process has received, or None; all have to call this."""
        if get_world_size() == 1:
            return self.received
        number = torch.tensor(self.received or 0)
        torch_dist.all_reduce(number, torch_dist.ReduceOp.MAX, group=self._group)
        return int(number) or None

    def _note(self, number: int, frame: object) -> None:
        # A forked worker of a loader has this handler too; its parent tells it when to end.
        if os.getpid() != self._process:
            return
        now = time.monotonic()
        if self.received is None:
            self.received, self._received_at = number, now
            name = signal.Signals(number).name
            # Not by a logger: the signal may have come while one holds its lock.
            begin = '\n' if os.isatty(2) else ''  # behind a bar, or what the terminal echoes
            what = 'stopping after this step; again to stop at once'
            os.write(2, f'{begin}{name}: {what}\n'.encode())
        elif now - self._received_at > self.same_wish_seconds:
            self.close()  # gives the handlers back
            os.kill(os.getpid(), number)
