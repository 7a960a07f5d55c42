# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""When a run logs: the one interval that all who measure for the log go by."""

from mmengine.hooks import LoggerHook
from mmengine.runner import Runner


def is_logged(runner: Runner, batch_idx: int) -> bool:
    """Tell whether a ``LoggerHook`` logs after this iteration, or an epoch ends.

    Args:
        runner: The run, in training.
        batch_idx: Number of the iteration within the epoch, from 0.
    """
    intervals = [hook.interval for hook in runner.hooks if isinstance(hook, LoggerHook)]
    done = batch_idx + 1
    return done == len(runner.train_dataloader) or any(done % n == 0 for n in intervals if n > 0)
