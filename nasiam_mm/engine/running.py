# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What hooks ask of the run they act in: its model, log, rates and random numbers."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from mmengine.hooks import LoggerHook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner
from torch import nn


def unwrap(model: nn.Module) -> nn.Module:
    """Return a model without the wrapper of several processes."""
    return model.module if is_model_wrapper(model) else model


def is_logged(runner: Runner, batch_idx: int, interval: int | None = None) -> bool:
    """Tell whether an epoch ends with this iteration of it, from 0, or a ``LoggerHook`` logs.

    Whoever measures for the log goes by this one interval, or has an ``interval`` of its own.
    """
    hooks = runner.hooks if interval is None else ()
    intervals = [interval or 0, *(hook.interval for hook in hooks if isinstance(hook, LoggerHook))]
    done = batch_idx + 1
    return done == len(runner.train_dataloader) or any(done % n == 0 for n in intervals if n > 0)


def read_rates(runner: Runner) -> list[dict[str, Any]]:
    """Return the learning rate and the like of every parameter group of the optimizers."""
    return [{k: v for k, v in group.items() if k != 'params'} for group in _groups(runner)]


def set_rates(runner: Runner, rates: list[dict[str, Any]]) -> None:
    """Give the parameter groups the settings of :func:`read_rates` back."""
    for group, rate in zip(_groups(runner), rates, strict=True):
        group.update(rate)


def _groups(runner: Runner) -> list[dict[str, Any]]:
    found = runner.optim_wrapper
    wrappers = found.values() if isinstance(found, OptimWrapperDict) else [found]
    return [group for wrapper in wrappers for group in wrapper.optimizer.param_groups]


def get_rng_state() -> dict[str, Any]:
    """Read the generators of Python, NumPy, torch on the CPU and on every CUDA device.

    The state is lists, numbers and uint8 tensors, so that a checkpoint needs no further type.
    """
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
    """Put the generators back to a state of :func:`get_rng_state`.

    CUDA devices that the state does not know, or that are not here, are left alone.
    """
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
