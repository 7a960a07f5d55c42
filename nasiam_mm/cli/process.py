# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A tool as the whole of its process, which ends without freeing what it imported."""

import atexit
import logging
import os
import sys
from collections.abc import Callable
from types import FrameType

from nasiam_mm.cli.ending import run_tool
from nasiam_mm.runs.processes import LAUNCHER, stop_with_launcher

_OURS = ('nasiam_mm', 'benchmarks')  # whose functions may stand between a script and its tool


def run_process(main: Callable[[], None]) -> None:
    """Run a tool as ``run_tool`` does, and let the process end as soon as all has been written.

    Threads are joined and what others registered with ``atexit`` runs before; what is spared is
    the freeing of torch's modules one by one, a second and more of every process.
    """
    status, process = 1, os.getpid()
    if LAUNCHER in os.environ:
        stop_with_launcher()
    if _is_the_program():
        # The first to be registered is the last to run; a fork of this process has it too.
        atexit.register(lambda: _leave(status) if os.getpid() == process else None)
    try:
        run_tool(main)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        raise


def _is_the_program() -> bool:
    """Tell whether this process was started for the tool, and is not a notebook's or a test's."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_globals is not vars(sys.modules['__main__']):
        if str(frame.f_globals.get('__name__')).partition('.')[0] not in _OURS:
            return False
        frame = frame.f_back
    while frame is not None and (frame := frame.f_back) is not None:
        if frame.f_globals.get('__name__') != 'runpy':  # python -m
            return False
    return True


def _leave(status: int) -> None:
    """End the process with what it has written."""
    logging.shutdown()  # registered when logging was imported, before this
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:  # as in a process that was started without
                stream.flush()
        except (OSError, ValueError):  # a reader that has gone, a closed stream
            status = status or 1
    os._exit(status)
