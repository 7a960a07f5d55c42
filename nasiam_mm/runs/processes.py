# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Which process of a run this is, before the processes have joined, and which has started it."""

import ctypes
import os
import signal
import sys

LAUNCHER = 'NASIAM_LAUNCHER'  # the variable that holds the number of the process that started this


def bound_to_us() -> dict[str, str]:
    """Return the environment of a command of ours that is to stop when this process dies."""
    return {**os.environ, LAUNCHER: str(os.getpid())}


def stop_with_launcher() -> None:
    """Let Linux send SIGTERM when the parent dies, which cannot hand a signal on by then."""
    if sys.platform == 'linux':
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
    # One that died while this process began sends nothing any more. Taken out, as what this
    # process starts has another parent.
    if os.environ.pop(LAUNCHER, None) not in (None, str(os.getppid())):
        sys.exit(128 + signal.SIGTERM)


def process_number() -> int:
    """Return the number of this process as torchrun, Slurm or MPI has set it, from 0."""
    return _first('RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK', default=0)


def process_count() -> int:
    """Return how many processes torchrun, Slurm or MPI has started."""
    return _first('WORLD_SIZE', 'SLURM_NTASKS', 'OMPI_COMM_WORLD_SIZE', default=1)


def _first(*names: str, default: int) -> int:
    """Return the first of some variables of the environment that holds a number."""
    return next((int(v) for v in map(os.environ.get, names) if v and v.isdigit()), default)
