# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""SIGTERM and SIGINT as a wish to stop soon, on which all processes agree."""

import os
import signal
import threading
import time
from types import FrameType
from typing import Any

import torch
import torch.distributed as torch_dist
from mmengine.dist import get_world_size

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# A launcher passes a signal on that its processes have got already: that is one wish, not two.
_SAME_WISH_SECONDS = 2.0


class StopSignals:
    """While entered, note the first SIGTERM or SIGINT instead of dying of it.

    A second one, later than what a launcher passes on, acts as it would have outside. Only a
    process's main thread can note signals; in another thread this notes none.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._received_at = 0.0
        self._previous: dict[int, Any] = {}
        self._group: torch_dist.ProcessGroup | None = None

    def __enter__(self) -> 'StopSignals':
        self._process = os.getpid()
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._note) for number in _SIGNALS}
        if get_world_size() > 1 and torch_dist.get_backend() != 'gloo':
            # On the CPU, so that asking does not make a GPU wait.
            self._group = torch_dist.new_group(backend='gloo')
        return self

    def __exit__(self, *error: object) -> None:
        self._put_back()

    def agreed(self) -> int | None:
        """Return the signal that any process has received, or None; all have to call this."""
        if get_world_size() == 1:
            return self.received
        number = torch.tensor(self.received or 0)
        torch_dist.all_reduce(number, torch_dist.ReduceOp.MAX, group=self._group)
        return int(number) or None

    def _note(self, number: int, frame: FrameType | None) -> None:
        # A forked worker of a loader has this handler too; its parent tells it when to end.
        if os.getpid() != self._process:
            return
        now = time.monotonic()
        if self.received is None:
            self.received, self._received_at = number, now
            name = signal.Signals(number).name
            # Not by a logger: the signal may have come while one holds its lock.
            os.write(2, f'{name}: stopping after this iteration; again to stop at once\n'.encode())
        elif now - self._received_at > _SAME_WISH_SECONDS:
            self._put_back()
            os.kill(os.getpid(), number)

    def _put_back(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}


def leave_process_group() -> None:
    """Keep a loader's worker out of what signals a whole process group, as a terminal does.

    The iteration that is to be finished needs its workers; the parent still ends them.
    """
    os.setpgid(0, 0)
