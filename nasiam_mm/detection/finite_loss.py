# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Stop a training whose loss is no number any more."""

from collections.abc import Mapping

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor


class FiniteLossHook(Hook):
    """End training with one line when a loss is not finite.

    Args:
        interval (int): Iterations between two looks; each waits for the device. A loss that is
            not finite stays so, none is missed. Defaults to 10.
    """

    priority = 'VERY_LOW'  # after the logger, whose last line shows how it came

    def __init__(self, interval: int = 10) -> None:
        self.interval = interval

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Look at the losses of this iteration.

        Raises:
            ValueError: If one is not finite.
        """
        if not self.every_n_train_iters(runner, self.interval):
            return
        for name, value in (outputs or {}).items():
            if isinstance(value, Tensor) and not torch.isfinite(value).all():
                raise ValueError(
                    f'{name} is {float(value)} at iteration {runner.iter + 1}: training diverged; '
                    'lower optim_wrapper.optimizer.lr or optim_wrapper.clip_grad.max_norm'
                )
