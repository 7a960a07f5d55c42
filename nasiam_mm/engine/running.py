# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What hooks ask of the run they act in: its model, its log and its random numbers."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from mmengine.hooks import LoggerHook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn


def unwrap(model: nn.Module) -> nn.Module:
    """Return a model without the wrapper of several processes."""
    return model.module if is_model_wrapper(model) else model


def is_logged(runner: Runner, batch_idx: int, interval: int | None = None) -> bool:
    """Tell whether a ``LoggerHook`` logs after this iteration, from 0, or the epoch ends with it.

    Whoever measures for the log goes by this one interval, or has an ``interval`` of its own.
    """
    hooks = runner.hooks if interval is None else ()
    intervals = [interval or 0, *(hook.interval for hook in hooks if isinstance(hook, LoggerHook))]
    done = batch_idx + 1
    return done == len(runner.train_dataloader) or any(done % n == 0 for n in intervals if n > 0)


def log_epoch(runner: Runner, scalars: Mapping[str, float], epochs_done: int) -> None:
    """Log scalars of an epoch's end to every backend, over the iterations done as all others.

    The epoch stands beside them, and the iteration too, for backends that take no step (W&B).
    """
    beside = {'epoch': epochs_done, 'iter': runner.iter}
    runner.visualizer.add_scalars({**scalars, **beside}, step=runner.iter)


def get_rng_state() -> dict[str, Any]:
    """Read Python's, NumPy's and torch's generators, CUDA's too, as types a checkpoint may hold."""
    version, python, gauss = random.getstate()
    state: Any = np.random.get_state()
    name, numpy, *rest = state
    return dict(
        python=[version, list(python), gauss],
        numpy=[name, numpy.tolist(), *rest],
        torch=torch.get_rng_state(),
        cuda=torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    )


def set_rng_state(state: dict[str, Any]) -> None:
    """Put the generators back to such a state; CUDA devices not in it, or not here, are left."""
    version, python, gauss = state['python']
    random.setstate((version, tuple(python), gauss))
    name, numpy, *rest = state['numpy']
    np.random.set_state((name, np.array(numpy, dtype=np.uint32), *rest))
    # A checkpoint is loaded to the device of the model; generators ask for the CPU.
    torch.set_rng_state(state['torch'].cpu())
    for device, cuda in zip(range(torch.cuda.device_count()), state['cuda'], strict=False):
        torch.cuda.set_rng_state(cuda.cpu(), device)


@contextmanager
def preserve_rng() -> Iterator[None]:
    """Give the generators their state back on leaving."""
    state = get_rng_state()
    try:
        yield
    finally:
        set_rng_state(state)
