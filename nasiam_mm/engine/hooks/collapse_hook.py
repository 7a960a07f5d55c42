# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Watch the projector's output for collapse, and the loss for values that are not finite."""

from pathlib import Path
from typing import ClassVar

import torch
from mmengine.dist import all_gather, all_reduce, is_main_process
from mmengine.fileio import copyfile_to_local, exists
from mmengine.runner import Runner
from torch import Tensor, nn

from nasiam_mm.engine.hooks.stateful_hook import StatefulHook
from nasiam_mm.engine.running import is_logged, unwrap
from nasiam_mm.evaluation.collapse import channel_std, effective_rank
from nasiam_mm.files.atomic import atomic_path
from nasiam_mm.registry import HOOKS


@HOOKS.register_module()
class CollapseHook(StatefulHook):
    """Warn of, or stop, a run whose embeddings collapse; refuse a loss that is not finite.

    Every ``interval`` iterations of an epoch (None: ``LoggerHook``'s) and at its end the output z
    of ``model.neck``, (N, D), is measured and logged: ``collapse/std`` (:func:`channel_std`, 1 as
    spread as a Gaussian, 0 collapsed) and ``collapse/effective_rank``; of what the model has in
    ``watched`` besides, such as prototypes, ``collapse/NAME_std``, which has the threshold of std.
    Processes gather z and act alike. Other iterations read nothing back. A sample is unhealthy when
    std, effective rank or loss (for losses whose minimum is the collapsed solution, such as -1 of
    SimSiam) is below its threshold, unless that is None; ``patience`` in a row are a collapse. Then
    ``action``

    - ``'warn'`` logs a warning, once until a healthy sample follows;
    - ``'stop'`` ends training, after the epoch where the loop is over epochs;
    - ``'rollback'`` does too and leaves the last checkpoint saved between two healthy samples as
      ``work_dir/last_healthy.pth``.

    ValueError without a neck; RuntimeError if a sampled loss or embedding is not finite, whatever
    the action, or the neck did not run.
    """

    # Before LoggerHook, BELOW_NORMAL, which prints what is measured here.
    priority = 'NORMAL'
    state_types: ClassVar = dict(streak=int, last_seen=str | None, last_healthy=str | None)

    def __init__(
        self,
        interval: int | None = 50,
        std_threshold: float | None = 0.1,
        rank_threshold: float | None = None,
        loss_threshold: float | None = None,
        action: str = 'warn',
        patience: int = 3,
    ) -> None:
        if action not in (known := ('warn', 'stop', 'rollback')):
            raise ValueError(f'CollapseHook.action must be one of {known}, got {action!r}')
        if patience < 1 or (interval is not None and interval < 1):
            got = f'patience={patience}, interval={interval}'
            raise ValueError(f'CollapseHook.patience and .interval must be at least 1, got {got}')
        self.interval, self.action, self.patience = interval, action, patience
        limits = dict(std=std_threshold, effective_rank=rank_threshold, loss=loss_threshold)
        self.thresholds = {name: limit for name, limit in limits.items() if limit is not None}
        self.streak = 0  # unhealthy samples in a row
        self.last_seen: str | None = None  # newest checkpoint judged
        self.last_healthy: str | None = None  # newest one judged healthy, under its own name
        self._armed = False
        self._z: Tensor | None = None
        self._model: nn.Module | None = None

    def check(self, model: nn.Module) -> None:
        """Raise a ValueError for a model without a neck."""
        if getattr(model, 'neck', None) is None:
            lacks = f'model.neck, which {type(model).__name__} does not have'
            raise ValueError(f'CollapseHook watches {lacks}; give it one or remove the hook')

    def before_train(self, runner: Runner) -> None:
        """Listen to the neck's output."""
        model = unwrap(runner.model)
        self.check(model)
        model.neck.register_forward_hook(self._capture)
        self._model = model
        if (least := self.thresholds.get('std')) is not None:
            names = getattr(model, 'watched', {})
            self.thresholds |= {f'{name}_std': least for name in names}
        self._kept = Path(runner.work_dir, 'last_healthy.pth')

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch=None) -> None:
        """Arm the capture for this iteration."""
        self._armed = is_logged(runner, batch_idx, self.interval)

    def after_train_iter(self, runner: Runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Measure the captured embeddings, judge them, act."""
        if not self._armed:
            return
        z, self._z, self._armed = self._z, None, False
        self._where = f'iteration {runner.iter + 1} (epoch {runner.epoch + 1})'
        if z is None:
            saw = f'saw no output of model.neck in {self._where}'
            raise RuntimeError(f'CollapseHook {saw}; the neck must run in every training iteration')
        loss = torch.as_tensor(outputs['loss']).detach().clone()
        all_reduce(loss, 'mean')
        z = torch.cat(all_gather(z.float().contiguous()))
        if not (loss.isfinite() and z.isfinite().all()):
            finite = loss.isfinite()
            what = 'output of the neck is not finite' if finite else f'loss is {loss.item()}'
            mend = 'lower the learning rate or train without mixed precision'
            raise RuntimeError(f'the {what} in {self._where}; {mend}{self._way_back(runner)}')
        sample = dict(std=channel_std(z).item(), effective_rank=effective_rank(z).item())
        for name, rows in getattr(self._model, 'watched', {}).items():
            sample[f'{name}_std'] = channel_std(rows.detach().float()).item()
        for name, value in sample.items():
            # LogProcessor drops the prefix and prints the current value.
            runner.message_hub.update_scalar(f'train/collapse/{name}', value)
        self._judge(runner, {**sample, 'loss': loss.item()})

    def _capture(self, module: nn.Module, inputs: tuple, output: Tensor | tuple) -> None:
        if self._armed:
            z = output[0] if isinstance(output, (tuple, list)) else output
            # The last of the iteration stays: the weight step's, which every other step of an
            # iteration comes before, and of its last view, where the views come one by one.
            self._z = z.detach()

    def _judge(self, runner: Runner, sample: dict[str, float]) -> None:
        low = {name: least for name, least in self.thresholds.items() if sample[name] < least}
        if self.action == 'rollback':
            # Before the streak changes: a healthy checkpoint has healthy samples on both sides.
            self._keep_newest(runner, healthy=not low and self.streak == 0)
        self.streak = self.streak + 1 if low else 0
        if self.streak < self.patience:
            return
        measures = ', '.join(f'{name} {sample[name]:.4g} < {low[name]:g}' for name in low)
        message = f'embeddings collapsed in {self._where}: {measures}'
        if self.action == 'warn':
            if self.streak == self.patience:
                runner.logger.warning(f'{message}; lower the learning rate or check the head')
        elif not runner.train_loop.stop_training:
            runner.logger.warning(f'{message}; training stops{self._way_back(runner)}')
            runner.train_loop.stop_training = True

    def _keep_newest(self, runner: Runner, healthy: bool) -> None:
        """Keep a copy of the checkpoint saved since the last call, if that is healthy."""
        newest = runner.message_hub.get_info('last_ckpt')
        if newest in (None, self.last_seen):
            return
        self.last_seen = newest
        # A run resumed elsewhere still names the file it was resumed from.
        if healthy and exists(newest):
            self.last_healthy = newest
            if is_main_process():
                # Not a link: CheckpointHook deletes old files and may write to one again.
                with atomic_path(self._kept) as part:
                    copyfile_to_local(newest, part)

    def _way_back(self, runner: Runner) -> str:
        if self.action != 'rollback':
            return ''
        # A run resumed elsewhere has left the file in its old folder.
        if self.last_healthy is None or not self._kept.exists():
            return f'; no checkpoint in {runner.work_dir} was saved while healthy'
        return f'; {self._kept} is the last healthy checkpoint, {self.last_healthy}'
