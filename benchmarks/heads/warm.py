# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Commands of ours in forks of a process that has imported torch: seconds less for each run."""

import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import IO

from nasiam_mm.cli.main import dispatch
from nasiam_mm.runs.processes import stop_with_launcher


def run_forked(
    command: Sequence[str],
    console: IO[str],
    *,
    variables: Mapping[str, str] | None = None,
    look: Callable[[], bool] | None = None,
    keeps: Sequence[int] = (),
) -> int:
    """Run the words of ``nasiam`` as ``run_command`` runs a program; ``look`` is asked at its end.

    The process must not have computed with torch's threads before, which a fork does not have.
    """
    for stream in (sys.stdout, sys.stderr, console):
        stream.flush()
    if not (child := os.fork()):
        _run(command, console, variables or {})
    try:
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    except KeyboardInterrupt:
        # The terminal has sent it the signal too; a second one would end it at once.
        os.waitpid(child, 0)
        raise
    except BaseException:
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)
        raise
    if look is not None:
        look()
    return status


def _run(command: Sequence[str], console: IO[str], variables: Mapping[str, str]) -> None:
    """Be the command, from the first word to the exit status."""
    status = 1
    try:
        os.environ.update(variables)
        stop_with_launcher()
        for number in (1, 2):
            os.dup2(console.fileno(), number)
        dispatch(command)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
