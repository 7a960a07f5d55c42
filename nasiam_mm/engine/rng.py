# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The random number generators of a process: their state as data, and leaving them alone."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def get_rng_state() -> dict[str, Any]:
    """Read the generators of Python, NumPy, torch on the CPU and on every CUDA device.

    Returns:
        Lists, numbers and uint8 tensors alone, so that reading a checkpoint
        needs no pickled type for them.
    """
    version, python, gauss = random.getstate()
    state: Any = np.random.get_state()
    name, numpy, position, has_gauss, cached_gauss = state
    return dict(
        python=[version, list(python), gauss],
        numpy=[name, numpy.tolist(), int(position), int(has_gauss), float(cached_gauss)],
        torch=torch.get_rng_state(),
        cuda=torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    )


def set_rng_state(state: dict[str, Any]) -> None:
    """Put the generators back to a state of :func:`get_rng_state`.

    CUDA devices that the state does not know, or that are not here, are left alone.
    """
    version, python, gauss = state['python']
    random.setstate((version, tuple(python), gauss))
    name, numpy, *rest = state['numpy']
    np.random.set_state((name, np.array(numpy, dtype=np.uint32), *rest))
    # A checkpoint is loaded to the device of the model; generators ask for the CPU.
    torch.set_rng_state(state['torch'].cpu())
    devices = min(torch.cuda.device_count(), len(state['cuda']))
    for device in range(devices):
        torch.cuda.set_rng_state(state['cuda'][device].cpu(), device)


@contextmanager
def preserve_rng() -> Iterator[None]:
    """Give the generators their state back on leaving."""
    state = get_rng_state()
    try:
        yield
    finally:
        set_rng_state(state)
