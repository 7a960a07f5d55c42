# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Pruners: what stops a training early, as pruners of Optuna; a step is an epoch, from 1."""

from typing import Any

from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    SuccessiveHalvingPruner,
)

from nasiam_mm.part_registry import open_registry
from nasiam_mm.study.settings import build_named, whole

PRUNERS = open_registry('pruner', 'nasiam_mm.study.pruners')


def build_pruner(config: Any, max_epochs: int) -> BasePruner:
    """Build the pruner of a config for trainings of so many epochs; None stops none.

    Raises:
        ValueError: If the config or a setting is not usable.
    """
    if config is None:
        return NopPruner()
    return build_named(PRUNERS, config, 'study.pruner', max_epochs=max_epochs)


@PRUNERS.register_module(name='Median')
def median(max_epochs: int, startup: int = 5, warmup: int = 1) -> MedianPruner:
    """Stop a training whose best value so far is below the median of others at that epoch.

    Args:
        max_epochs: Epochs of a training.
        startup: Complete trainings before one is stopped.
        warmup: Epochs that no training is stopped before.
    """
    return MedianPruner(
        n_startup_trials=whole('Median', 'startup', startup, 1),
        n_warmup_steps=whole('Median', 'warmup', warmup, 1, max_epochs),
    )


@PRUNERS.register_module(name='SuccessiveHalving')
def successive_halving(
    max_epochs: int, eta: int = 3, min_resource: int = 1
) -> SuccessiveHalvingPruner:
    """Let the best of ``eta`` trainings go on at epochs ``min_resource * eta^rung`` (`ASHA`_).

    Args:
        max_epochs: Epochs of a training.
        eta: One of so many goes on.
        min_resource: Epochs of every training.

    .. _ASHA: https://arxiv.org/abs/1810.05934
    """
    return SuccessiveHalvingPruner(
        min_resource=whole('SuccessiveHalving', 'min_resource', min_resource, 1, max_epochs),
        reduction_factor=whole('SuccessiveHalving', 'eta', eta, 2),
    )


@PRUNERS.register_module(name='Hyperband')
def hyperband(max_epochs: int, eta: int = 3, min_resource: int = 1) -> HyperbandPruner:
    """Several successive halvings, each with a later first rung (`Hyperband`_).

    A sampler sees the trials of one of them, of which there are ``floor(log_eta(max_epochs /
    min_resource)) + 1``: give each ten trials or more.

    Args:
        max_epochs: Epochs of a training.
        eta: One of so many goes on.
        min_resource: Epochs of every training of the first of them.

    .. _Hyperband: https://arxiv.org/abs/1603.06560
    """
    pruner = HyperbandPruner(
        min_resource=whole('Hyperband', 'min_resource', min_resource, 1, max_epochs),
        max_resource=max_epochs,
        reduction_factor=whole('Hyperband', 'eta', eta, 2),
    )
    # Optuna lays the brackets out at the first report: a new process would sample from other
    # trials until then.
    pruner._try_initialization(None)  # type: ignore[arg-type]
    return pruner
