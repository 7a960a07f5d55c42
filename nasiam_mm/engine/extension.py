# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Going on with a run for longer, or at another rate, than it was begun for."""

import warnings
from typing import Any

from mmengine.runner import Runner


def take_rates(runner: Runner) -> list[dict[str, Any]]:
    """Return the settings of the optimizer's groups before a checkpoint's replace them.

    Raises:
        ValueError: If there are several optimizers.
    """
    if not hasattr(runner.optim_wrapper, 'optimizer'):
        raise ValueError('--extend: a run of several optimizers cannot be extended')
    groups = runner.optim_wrapper.optimizer.param_groups
    return [{k: v for k, v in group.items() if k != 'params'} for group in groups]


def follow_new_schedule(runner: Runner, rates: list[dict[str, Any]]) -> None:
    """Put the rates to where the schedule of the config stands by now.

    What else the optimizer holds, such as its momentum, stays that of the checkpoint.

    Args:
        runner: The runner, its checkpoint loaded but for the schedulers.
        rates: Of :func:`take_rates`.
    """
    groups = runner.optim_wrapper.optimizer.param_groups
    for group, rate in zip(groups, rates, strict=True):
        group.update(rate)
    schedulers = runner.param_schedulers or []
    length = len(runner.train_dataloader)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # that no step of the optimizer came before
        for iteration in range(1, runner.iter + 1):
            for scheduler in schedulers:
                if not scheduler.by_epoch or iteration % length == 0:
                    scheduler.step()
