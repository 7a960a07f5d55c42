# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Windows of iterations within a real run: a hook that reads a clock where they begin and end."""

from collections.abc import Callable
from pathlib import Path

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from mmengine.runner import Runner


class RunIsMeasured(Exception):
    """Ends a run whose windows are all read."""


class WindowHook(Hook):
    """Times windows of iterations, every other hook's work included.

    Args:
        read: The clock.
        first: Iterations before the first window.
        length: Iterations of a window.
        count: Number of windows.
        between: Called with the runner and the number of the window after each, outside all.

    Attributes:
        seconds: Per iteration, one figure per window.
    """

    # The last of all before an iteration as after it: a window begins and ends here.
    priority = 100

    def __init__(
        self,
        read: Callable[[], float],
        first: int,
        length: int,
        count: int,
        between: Callable[[Runner, int], object] = lambda runner, window: None,
    ) -> None:
        self.read, self.first, self.length, self.count = read, first, length, count
        self.between = between
        self.seconds: list[float] = []

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Begin, end, or leave alone."""
        done = runner.iter + 1 - self.first
        if done < 0 or done % self.length:
            return
        if done:
            self.seconds.append((self.read() - self.began) / self.length)
            self.between(runner, len(self.seconds))
        if len(self.seconds) == self.count:
            raise RunIsMeasured
        self.began = self.read()


def run_windows(cfg: Config, work_dir: str, hook: WindowHook) -> list[float]:
    """Run a config to the end of the windows; return seconds per iteration, one per window.

    Raises:
        RuntimeError: If the run ended before.
    """
    MessageHub._instance_dict.clear()
    cfg.work_dir, cfg.log_level = work_dir, 'ERROR'
    cfg.experiment_name = Path(work_dir).name
    runner = Runner.from_cfg(cfg)
    runner.register_hook(hook)
    try:
        runner.train()
    except RunIsMeasured:
        return hook.seconds
    raise RuntimeError(
        f'the run ended after {len(hook.seconds)} of {hook.count} windows; it has '
        f'{runner.max_iters} iterations'
    )
