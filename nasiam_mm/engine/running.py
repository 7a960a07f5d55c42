# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What hooks ask of the run they act in."""

from typing import Any

from mmengine.hooks import LoggerHook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner
from torch import nn


def unwrap(model: nn.Module) -> nn.Module:
    """Return a model without the wrapper of several processes."""
    return model.module if is_model_wrapper(model) else model


def is_logged(runner: Runner, batch_idx: int) -> bool:
    """Tell whether a ``LoggerHook`` logs after this iteration, or an epoch ends.

    Whoever measures for the log goes by this one interval.

    Args:
        runner: The run, in training.
        batch_idx: Number of the iteration within the epoch, from 0.
    """
    intervals = [hook.interval for hook in runner.hooks if isinstance(hook, LoggerHook)]
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
