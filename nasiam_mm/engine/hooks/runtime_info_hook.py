# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Losses are read back from the device when they are logged, not in every iteration."""

from typing import Any

import torch
from mmengine.hooks import RuntimeInfoHook
from mmengine.runner import Runner
from torch import Tensor

from nasiam_mm.engine.running import is_logged
from nasiam_mm.registry import HOOKS


@HOOKS.register_module()
class BufferedRuntimeInfoHook(RuntimeInfoHook):
    """mmengine's hook, without a wait for the device and without growing cost.

    The stock hook reads every loss at once, which makes the host wait for a GPU, and appends it to
    a history that is copied whole. This one reads them, the same values, when a ``LoggerHook`` logs
    (:func:`is_logged`) and before a checkpoint; between two logs the newest are missing. Histories
    of training scalars keep what the log processor looks back on.

    Args:
        max_history: Values of each training scalar that are kept at least.

    Raises:
        ValueError: If ``max_history`` is not positive.
    """

    def __init__(self, max_history: int = 1000) -> None:
        if max_history < 1:
            raise ValueError(
                f'BufferedRuntimeInfoHook.max_history must be at least 1, got {max_history}'
            )
        self.max_history = max_history
        self._pending: dict[str, list[Any]] = {}

    def before_train(self, runner: Runner) -> None:
        """Find out how far back the log looks."""
        super().before_train(runner)
        self._pending = {}
        self._kept = max(self.max_history, _look_back(runner))

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch=None, outputs=None
    ) -> None:
        """Keep the losses; read them where they are about to be logged."""
        for name, value in (outputs or {}).items():
            # Detached: the loss would keep the graph of its iteration alive.
            kept = value.detach() if isinstance(value, Tensor) else value
            self._pending.setdefault(f'train/{name}', []).append(kept)
        if is_logged(runner, batch_idx):
            self._flush(runner)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Complete the message hub of the checkpoint."""
        if self._pending:
            self._flush(runner)
            checkpoint['message_hub'] = runner.message_hub.state_dict()

    def _flush(self, runner: Runner) -> None:
        hub = runner.message_hub
        for name, values in self._pending.items():
            if all(isinstance(value, Tensor) for value in values):
                values = torch.stack([value.reshape(()) for value in values]).tolist()
            for value in values:
                hub.update_scalar(name, value)
        self._pending = {}
        for name, history in hub.log_scalars.items():
            if name.startswith('train/'):
                history.max_length = self._kept


def _look_back(runner: Runner) -> int:
    """Return over how many iterations the log processor takes statistics."""
    processor = runner.log_processor
    lengths = {'epoch': len(runner.train_dataloader), 'global': runner.max_iters}
    windows = [item.get('window_size', processor.window_size) for item in processor.custom_cfg]
    return max(lengths.get(window, window) for window in [processor.window_size, *windows])
