# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A run on the console: what begins, how far it is, where things lie."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner

from nasiam_mm.architecture.kinds.kind import BACKBONES
from nasiam_mm.console.screen import Console
from nasiam_mm.console.terms import duration, told_figures
from nasiam_mm.datasets.split import innermost
from nasiam_mm.engine.running import unwrap
from nasiam_mm.wording import counted

# What a run leaves, where it does.
_LEFT = (
    *('genotype.json', 'genotype.png', 'alpha.png', 'contributions.json', 'final.json'),
    'last_healthy.pth',
)
_LINES = 20  # of a run that is not over epochs


class ConsoleHook(Hook):
    """Tell on the console of the command what a run does; added by ``NasiamRunner``, by no config.

    Where somebody looks on, a bar shows the rest; elsewhere each epoch is a line. The time left is
    that of the whole run, from the seconds since it began or was resumed, probes included.
    """

    # After whatever measures and logs.
    priority = 'LOWEST'

    def __init__(self, console: Console) -> None:
        self.console = console
        self._began = 0.0  # 0 before the first iteration of this process
        self._trained = False
        self._pending = False  # whether an epoch's line waits for its validation

    def before_run(self, runner: Runner) -> None:
        """Say what begins, unless nothing is trained."""
        self._entered = time.monotonic()
        if not isinstance(runner._train_loop, BaseLoop):
            return
        model, dataset = unwrap(runner.model), runner.train_dataloader.dataset
        inner = innermost(dataset)
        name = getattr(inner, 'metainfo', {}).get('dataset', type(inner).__name__)
        folder = (runner.cfg.get('data') or {}).get('root') or getattr(inner, 'data_root', None)
        steps = len(runner.train_dataloader)
        length = counted(runner.max_iters, 'iteration')
        if self._is_over_epochs(runner):
            length = f'{counted(runner.max_epochs, "epoch")} of {counted(steps, "iteration")}'
        self.console.say(
            f'{_begun(model)}: {type(model).__name__}, '
            f'{length}, {_device(model)}, seed {runner.seed}'
        )
        where = f' in {folder}' if folder else ''
        self.console.say(f'data: {name}{where}, {len(dataset)} images to train on')
        self.console.say(f'log: {runner.logger.log_file}')

    def before_train_epoch(self, runner: Runner) -> None:
        """Tell what was measured before the first epoch; begin to count the time."""
        self._tell_epoch(runner)
        if not self._began:
            self._began, self._first = time.monotonic(), runner.iter
            if measured := told_figures(self.console.fresh):
                self.console.explain(measured)
                self.console.say(f'untrained: {_joined(measured)}')
            self.console.fresh.clear()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Move the bar."""
        self._trained = True
        if self.console.is_live:
            self._draw(runner, batch_idx)
        elif not self._is_over_epochs(runner):
            every = max(1, runner.max_iters // _LINES)
            if (runner.iter + 1) % every == 0:
                self._tell(f'iteration {runner.iter + 1}/{runner.max_iters}', runner, 1)

    def after_train_epoch(self, runner: Runner) -> None:
        """Tell how the epoch ended, or wait for its validation."""
        self._pending = True
        if runner._val_loop is None:
            self._tell_epoch(runner, runner.epoch + 1)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Tell how the epoch ended."""
        self._tell_epoch(runner)

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Tell what a test has found."""
        told = ', '.join(f'{k} {v:.4g}' for k, v in (metrics or {}).items() if _is_number(v))
        self.console.say(f'test: {told}')

    def after_run(self, runner: Runner) -> None:
        """Say that it is done, and where things lie."""
        if not self._trained:
            return
        self._tell_epoch(runner)
        self._trained = False
        self.console.close()
        told = told_figures(self.console.scalars)
        self.console.explain(told)
        spent = duration(time.monotonic() - self._entered)
        if self._is_over_epochs(runner):
            length = f'{runner.epoch} of {counted(runner.max_epochs, "epoch")}'
        else:
            length = f'{runner.iter} of {counted(runner.max_iters, "iteration")}'
        self.console.say(f'done: {length} in {spent}, {_joined(told)}')
        folder = Path(runner.work_dir)
        kept = Path(str(runner.message_hub.runtime_info.get('last_ckpt', ''))).name
        left = [name for name in (kept, *_LEFT) if name and (folder / name).exists()]
        self.console.say(f'results in {folder}: {", ".join(left) or "logs alone"}')

    def _is_over_epochs(self, runner: Runner) -> bool:
        return runner.max_epochs is not None and hasattr(runner.train_loop, 'run_epoch')

    def _tell_epoch(self, runner: Runner, done: int | None = None) -> None:
        """Tell of an epoch that has ended, once, unless the bar does or there are no epochs."""
        if self._pending and self._is_over_epochs(runner) and not self.console.is_live:
            self._tell(f'epoch {done or runner.epoch}/{runner.max_epochs}', runner, 0)
        self._pending = False

    def _tell(self, what: str, runner: Runner, more: int) -> None:
        told = told_figures(self.console.fresh)
        self.console.fresh.clear()
        self.console.explain(told)
        if (done := runner.iter + more) < runner.max_iters:
            told['left'] = duration(self._left(runner, done))
        self.console.say(f'{what}: {_joined(told)}')

    def _draw(self, runner: Runner, batch_idx: int) -> None:
        told = told_figures(self.console.scalars, ('loss', 'kNN', 'top-1', 'mAP', 'data wait'))
        self.console.explain(told)
        done = runner.iter + 1
        left = duration(self._left(runner, done))
        head = f'iteration {done}/{runner.max_iters}'
        if self._is_over_epochs(runner):
            head = f'epoch {runner.epoch + 1}/{runner.max_epochs}'
            ends = done + len(runner.train_dataloader) - batch_idx - 1
            left += f' (epoch {duration(self._left(runner, done, ends))})'
        self.console.draw(head, done / runner.max_iters, _joined({**told, 'left': left}))

    def _left(self, runner: Runner, done: int, end: int | None = None) -> float:
        """Return the seconds to an iteration, the last for None, at the pace so far."""
        pace = (time.monotonic() - self._began) / max(1, done - self._first)
        return pace * ((runner.max_iters if end is None else end) - done)


def _device(model: torch.nn.Module) -> str:
    device = next(model.parameters()).device
    name = torch.cuda.get_device_name(device) if device.type == 'cuda' else device.type.upper()
    count = get_world_size()
    return name if count == 1 else f'{count} processes, each on {name}'


def _joined(told: dict[str, str]) -> str:
    return ', '.join(f'{name} {value}' for name, value in told.items())


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, (bool, Sequence))


def _begun(model: Any) -> str:
    """Say what is searched, or that nothing is."""
    architecture = getattr(model, 'architecture', None)
    if architecture is None:
        return 'training'
    # Cells of a backbone are of two groups.
    parts = dict.fromkeys(
        'backbone' if name in BACKBONES else 'head' for name in architecture.choices
    )
    return f'searching a {" and a ".join(parts)}'
