# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Commands of ours run as processes: what they write is kept, and the time they took."""

import fcntl
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from nasiam_mm.files.atomic import write_json
from nasiam_mm.runs.processes import bound_to_us

CONSOLE = 'console.log'
TIMES = 'times.json'
# How the training loop and the system name an end by SIGINT or SIGTERM.
INTERRUPTED = (130, 143, -2, -15)
_INTERVAL = 0.3  # seconds between two looks at what a command has done


def run_command(
    command: Sequence[str],
    console: IO[str],
    *,
    cwd: Path | None = None,
    variables: Mapping[str, str] | None = None,
    seconds: float | None = None,
    look: Callable[[], bool] | None = None,
    keeps: Sequence[int] = (),
) -> int:
    """Run a command to its end; it saves and ends too when we are interrupted or die.

    Args:
        command: The command.
        console: File for what it writes.
        cwd: Folder it runs in; None for this process's.
        variables: Of its environment, beside ours.
        seconds: It may take.
        look: Asked every now and then, and once it has ended; true tells it to save and to end.
        keeps: Locks that it takes, see :func:`locked`.

    Returns:
        Its exit status.

    Raises:
        subprocess.TimeoutExpired: After ``seconds``, once it has saved and ended.
    """
    environment = {**bound_to_us(), **(variables or {})}
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=environment,
        stdout=console,
        stderr=subprocess.STDOUT,
        pass_fds=keeps,
    )
    try:
        if look is None:
            return process.wait(seconds)
        while (status := _wait(process, _INTERVAL)) is None:
            if look():
                process.terminate()
                return process.wait()
        look()
        return status
    except KeyboardInterrupt:
        # The terminal has sent it the signal too; a second one would end it at once.
        process.wait()
        raise
    except BaseException:
        process.terminate()
        process.wait()
        raise


def _wait(process: subprocess.Popen, seconds: float) -> int | None:
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None


@contextmanager
def timed(folder: Path, step: str) -> Iterator[None]:
    """Add the seconds of a step, and those of the processes it ran, to ``times.json``."""
    wall, used = time.monotonic(), _children_seconds()
    try:
        yield
    finally:
        times = read_times(folder)
        spent = times.setdefault(step, {'wall': 0.0, 'process': 0.0})
        spent['wall'] += time.monotonic() - wall
        spent['process'] += _children_seconds() - used
        write_json(times, folder / TIMES)


def last_line(folder: Path) -> str:
    """Return the last line that a command of a folder wrote: its error, where it ended by one."""
    try:
        lines = (folder / CONSOLE).read_text(encoding='utf-8', errors='replace').split('\n')
    except FileNotFoundError:
        lines = []
    told = [line.strip() for line in lines if line.strip()]
    return told[-1].removeprefix('error: ') if told else 'no output'


def read_times(folder: Path) -> dict[str, dict[str, float]]:
    """Return step -> seconds, ``'wall'`` and ``'process'``, of what was run in a folder."""
    file = folder / TIMES
    return json.loads(file.read_text(encoding='utf-8')) if file.is_file() else {}


def _children_seconds() -> float:
    """CPU seconds of all processes that we started and that have ended."""
    times = os.times()
    return times.children_user + times.children_system


@contextmanager
def locked(path: Path, wait: bool = False) -> Iterator[int]:
    """Hold a folder or a file against other processes; freed when we end, however we do.

    Gives the lock, which a command that takes it keeps until it has ended too.

    Raises:
        BlockingIOError: If another process holds it, unless we are to ``wait`` for it.
    """
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield handle
    finally:
        os.close(handle)
