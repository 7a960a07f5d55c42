# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A runner for configs with a ``data`` section; a loop that stops and goes on at any iteration."""

import copy
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from mmengine.config import Config
from mmengine.dist import master_only
from mmengine.optim import OptimWrapper
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import nn

from nasiam_mm.architecture.names import told
from nasiam_mm.config_walk import find_hook
from nasiam_mm.datasets.replay import ReplaySampler
from nasiam_mm.datasets.resolve import resolve_data
from nasiam_mm.engine.hooks.resume_hook import ResumeHook
from nasiam_mm.engine.hooks.speed_hooks import drawn_in_order, lay_out
from nasiam_mm.engine.optim import refuse_idle_factors
from nasiam_mm.engine.running import preserve_rng, unwrap
from nasiam_mm.engine.stop_signals import StopSignals
from nasiam_mm.files.atomic import write_text
from nasiam_mm.refusals import is_user_error
from nasiam_mm.registry import LOOPS, RUNNERS
from nasiam_mm.unread import RUNNER_SETTINGS, find_unread


class FormattedOnce(Config):
    """A config whose text is laid out again only where it changed: for log, files, checkpoints."""

    _last: ClassVar[tuple[str, str]] = ('', '')

    @property
    def pretty_text(self) -> str:
        """The config as Python, as mmengine lays it out, which takes tenths of a second."""
        state = repr(self._cfg_dict)
        if FormattedOnce._last[0] != state:
            FormattedOnce._last = state, super().pretty_text
        return FormattedOnce._last[1]


@RUNNERS.register_module()
class NasiamRunner(Runner):
    """Runs, dumps and compares on a resume the config with its data folder's facts written in."""

    @classmethod
    def from_cfg(cls, cfg: Config | dict) -> 'NasiamRunner':
        """Build a runner from a config, which stays as it is.

        Raises:
            ValueError: If nothing reads a setting of the config.
        """
        # Bases of other libraries hold names that only help to write them.
        is_ours = (cfg.get('default_scope') or 'nasiam_mm') == 'nasiam_mm'
        if unread := find_unread(cfg, None if is_ours else RUNNER_SETTINGS):
            raise ValueError('; '.join(unread[:3]))
        cfg = copy.deepcopy(cfg)
        if isinstance(cfg, Config):
            cfg = FormattedOnce(
                cfg._cfg_dict,
                cfg_text=cfg.text,
                filename=cfg.filename,
                env_variables=cfg.env_variables,
            )
        notes = resolve_data(cfg)
        runner = super().from_cfg(cfg)
        for note in notes:
            runner.logger.info(note)
        loader, wrapper = cfg.get('train_dataloader'), cfg.get('optim_wrapper')
        model = unwrap(runner.model)
        if isinstance(wrapper, dict):
            refuse_idle_factors(model, wrapper.get('constructor'))
        if coupled := getattr(model, 'coupled', {}):
            decided = ', '.join(f'{kind} {told((option,))}' for kind, option in coupled.items())
            runner.logger.info(f'decided beside the heads: {decided}')
        scale = cfg.get('auto_scale_lr') or {}
        size = loader.get('batch_size') if isinstance(loader, dict) else None
        if size and isinstance(wrapper, dict) and not scale.get('enable'):
            images = runner.world_size * size * wrapper.get('accumulative_counts', 1)
            if images != (base := scale.get('base_batch_size', images)):
                what = f'the learning rate is for {base} images a step, this run takes {images}'
                runner.logger.warning(f'{what}; --auto-scale-lr scales it')
        return runner

    def setup_env(self, env_cfg: dict) -> None:
        """Set up processes, devices and how exact float32 products are: ``'highest'`` unless set.

        Raises:
            ValueError: If ``env_cfg.float32_matmul_precision`` is none of torch's three.
        """
        precision = env_cfg.get('float32_matmul_precision', 'highest')
        if precision not in (known := ('highest', 'high', 'medium')):
            told = f'must be one of {", ".join(known)}, got {precision!r}'
            raise ValueError(f'env_cfg.float32_matmul_precision {told}')
        torch.set_float32_matmul_precision(precision)
        super().setup_env(env_cfg)

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """Move a model to its device, and wrap it where there are several processes.

        Its weights are laid out before, as the buckets of their gradients follow them. Where a
        search leaves candidates out of a step their gradients are not waited for.
        """
        if self.distributed:
            lay_out(model)
            schedules = (find_hook(self.cfg, 'AlphaStepHook') or {}).get('schedules')
            sampled = getattr(getattr(model, 'architecture', None), 'sampled_in', ())
            if sampled or schedules:
                self.cfg.setdefault('find_unused_parameters', True)
                if model_wrapper_cfg is not None:
                    model_wrapper_cfg = {**model_wrapper_cfg, 'find_unused_parameters': True}
        return super().wrap_model(model_wrapper_cfg, model)

    def _init_model_weights(self) -> None:
        """Draw the first weights in one order, however they are laid out (contract C16)."""
        with drawn_in_order(unwrap(self.model)):
            super()._init_model_weights()

    def scale_lr(self, optim_wrapper: OptimWrapper, auto_scale_lr: dict | None = None) -> None:
        """Scale the rate by the batch of a weight step, to which several iterations may add up.

        Raises:
            ValueError: If the batch that the rate is for is no positive number.
        """
        scale = dict(auto_scale_lr or {})
        if scale.get('enable'):
            base = scale.get('base_batch_size')
            if isinstance(base, bool) or not isinstance(base, (int, float)) or not base > 0:
                what = f'auto_scale_lr.base_batch_size must be a positive number, got {base!r}'
                raise ValueError(f'{what}; it is the batch that optim_wrapper.optimizer.lr is for')
            scale['base_batch_size'] = base / getattr(optim_wrapper, '_accumulative_counts', 1)
        super().scale_lr(optim_wrapper, scale)

    def resume(self, filename: str, *args: Any, **kwargs: Any) -> None:
        """Go on from a checkpoint.

        Raises:
            ValueError: If a part of its state cannot be taken over.
        """
        try:
            super().resume(filename, *args, **kwargs)
        except Exception as error:
            if is_user_error(error):
                raise
            told = f'{type(error).__name__}: {error}'
            raise ValueError(
                f"checkpoint '{filename}' holds a state that does not fit this run: {told}; take "
                'an earlier one, or start anew in another --work-dir'
            ) from error

    def register_default_hooks(self, hooks: dict | None = None) -> None:
        """Register the named hooks; None takes one away, be it of mmengine or of a config."""
        stock = ('runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler', 'checkpoint')
        kept = {n: hook for n, hook in (hooks or {}).items() if hook is not None or n in stock}
        super().register_default_hooks(kept)

    @master_only
    def dump_config(self) -> None:
        """Write the config once the run owns the work directory, which ``ResumeHook`` sees to."""
        if not any(isinstance(hook, ResumeHook) and not hook.identity for hook in self.hooks):
            name = os.path.basename(self.cfg.filename or f'{self.timestamp}.py')
            write_text(self.cfg.pretty_text, os.path.join(self.work_dir, name))


@LOOPS.register_module()
class ResumableTrainLoop(EpochBasedTrainLoop):
    """mmengine's loop over epochs, which goes on in the middle of one (contract C6).

    A run resumed at iteration t of an epoch draws batch t next, with its right number for every
    hook; the epoch's end comes once. Validation leaves the random number generators as they were;
    resumed at the end of an epoch, a run validates first. On SIGTERM or SIGINT the iteration is
    finished, a checkpoint is written, and the process leaves with status 143 or 130; a second
    signal ends it at once. Several processes agree on the iteration, by one integer each.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if len(self.dataloader) == 0:
            images, size = len(self.dataloader.dataset), self.dataloader.batch_size
            mend = f'take a smaller train_dataloader.batch_size than {size}'
            raise ValueError(f'{images} training images are less than one batch; {mend}')

    def run(self) -> nn.Module:
        """Train to the last epoch; after a signal, SystemExit."""
        with StopSignals() as self.signals:
            self.runner.call_hook('before_train')
            # A checkpoint at the end of an epoch is written before the epoch's validation.
            self._validate_if_due()
            if self._epoch >= self._max_epochs:
                done = f'{self._epoch} epochs of {self._max_epochs} are done'
                mend = '--resume --extend with more train_cfg.max_epochs goes on'
                self.runner.logger.warning(f'the run is finished: {done}; {mend}')
            while self._epoch < self._max_epochs and not (self.stop_training and self._done() == 0):
                self.run_epoch()
                self._validate_if_due()
            self.runner.call_hook('after_train')
        return self.runner.model

    def run_epoch(self) -> None:
        """Train to the end of the epoch, from wherever the run stands in it."""
        if (done := self._done()) == 0:
            self.runner.call_hook('before_train_epoch')
        else:
            # Hooks prepare what they do not save; what was restored is past its beginning.
            with preserve_rng(), _preserve_rates(self.runner):
                self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        for batch_idx, data_batch in enumerate(self._batches(done), start=done):
            self.run_iter(batch_idx, data_batch)
            self._leave_if_asked()
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1
        self._leave_if_asked()

    def _done(self) -> int:
        """Return how many iterations of the epoch are done; all, where only its end is not."""
        return self._iter - self._epoch * len(self.dataloader)

    def _batches(self, done: int) -> Iterator[Any]:
        """Return an iterator over the batches of the epoch but the first ``done``."""
        loader = self.dataloader
        size = loader.batch_size  # none where the sampler makes whole batches
        sampler = loader.sampler if size else loader.batch_sampler
        if done and isinstance(sampler, ReplaySampler) and size:
            sampler.set_epoch(self._epoch)
            sampler.start = done * size
        elif done:
            slow = f'{type(sampler).__name__} cannot start within a pass: loading and dropping'
            mend = "sampler=dict(type='ReplaySampler') goes on at once"
            self.runner.logger.warning(f'{slow} {done} batches; {mend}')
            with preserve_rng():
                batches = iter(self.dataloader)
                for _ in range(done):
                    next(batches)
            return batches
        return iter(self.dataloader)

    def _validate_if_due(self) -> None:
        self._decide_current_val_interval()
        if self.runner.val_loop is None or self._done() or self._epoch < max(1, self.val_begin):
            return
        if self._epoch % self.val_interval == 0 or self._epoch == self._max_epochs:
            with preserve_rng():
                self.runner.val_loop.run()

    def _leave_if_asked(self) -> None:
        if (number := self.signals.agreed()) is None:
            return
        kept = 'no checkpoint, as there is no AtomicCheckpointHook'
        for hook in self.runner.hooks:
            if hasattr(hook, 'save_interrupted'):
                kept = f'{hook.save_interrupted(self.runner)} written; go on with --resume'
        name, done = signal.Signals(number).name, f'{self._iter} of {self._max_iters}'
        self.runner.logger.warning(f'{name}: stopped after iteration {done}; {kept}')
        raise SystemExit(128 + number)


@contextmanager
def _preserve_rates(runner: Runner) -> Iterator[None]:
    """Give the parameter groups their learning rates and the like back on leaving."""
    found = runner.optim_wrapper.param_groups
    several = found.values() if isinstance(found, dict) else [found]  # of one optimizer each
    groups = [group for of_one in several for group in of_one]
    rates = [{k: v for k, v in group.items() if k != 'params'} for group in groups]
    yield
    for group, rate in zip(groups, rates, strict=True):
        group.update(rate)
