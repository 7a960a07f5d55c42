# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Which process of a run this is, before the processes have joined."""

import os

LAUNCHER = 'NASIAM_LAUNCHER'  # the variable that holds the process number of nasiam_mm.cli.launch


def process_number() -> int:
    """Return the number of this process as torchrun, Slurm or MPI has set it, from 0."""
    return _first('RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK', default=0)


def process_count() -> int:
    """Return how many processes torchrun, Slurm or MPI has started."""
    return _first('WORLD_SIZE', 'SLURM_NTASKS', 'OMPI_COMM_WORLD_SIZE', default=1)


def _first(*names: str, default: int) -> int:
    """Return the first of some variables of the environment that holds a number."""
    return next((int(v) for v in map(os.environ.get, names) if v and v.isdigit()), default)
