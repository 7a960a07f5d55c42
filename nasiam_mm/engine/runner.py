# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A runner for configs with a ``data`` section."""

import copy
import itertools
import os
from typing import Any, ClassVar

import torch
from mmengine.config import Config
from mmengine.dist import is_main_process, master_only
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from mmengine.visualization import Visualizer
from torch import nn

from nasiam_mm.architecture.names import told
from nasiam_mm.config_walk import find_hook
from nasiam_mm.console.handler import SHOWN, prints_go_to_the_log, take_over
from nasiam_mm.console.screen import current
from nasiam_mm.datasets.resolve import resolve_data
from nasiam_mm.engine.console_backend import ConsoleBackend
from nasiam_mm.engine.hooks.console_hook import ConsoleHook
from nasiam_mm.engine.hooks.resume_hook import ResumeHook
from nasiam_mm.engine.hooks.speed_hooks import drawn_in_order, lay_out
from nasiam_mm.engine.optim import refuse_idle_factors
from nasiam_mm.engine.running import unwrap
from nasiam_mm.files.atomic import write_text
from nasiam_mm.files.config_file import braces_kept
from nasiam_mm.refusals import is_user_error
from nasiam_mm.registry import RUNNERS
from nasiam_mm.unread import RUNNER_SETTINGS, find_unread

_RUNS = itertools.count()  # of this process


class FormattedOnce(Config):
    """A config whose text is laid out again only where it changed: for log, files, checkpoints."""

    _last: ClassVar[tuple[str, str]] = ('', '')

    @property
    def pretty_text(self) -> str:
        """The config as Python, as mmengine lays it out, which takes tenths of a second."""
        state = repr(self._cfg_dict)
        if FormattedOnce._last[0] != state:
            FormattedOnce._last = state, braces_kept(super().pretty_text)
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
        if (console := current()) is not None and is_main_process():
            runner.register_hook(ConsoleHook(console))
        for note in notes:
            runner.logger.info(note, extra=SHOWN)
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

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """Build the logger; the console of a command, where there is one, shows little of it."""
        logger = super().build_logger(*args, **kwargs)
        if (console := current()) is not None:
            take_over(logger, console)
        return logger

    def build_visualizer(self, visualizer: Visualizer | dict | None = None) -> Visualizer:
        """Build the visualizer, which tells the console of a command what is logged too."""
        if isinstance(visualizer, Visualizer):
            return visualizer
        local = dict(type='ScalarVisualizer', vis_backends=dict(type='LocalVisBackend'))
        # mmengine names a run by the second, and one of the same name logs where the first did.
        settings = {'name': f'{self.experiment_name}_{next(_RUNS)}', **(visualizer or local)}
        if (console := current()) is not None:
            backends = settings.get('vis_backends') or []
            listed = [backends] if isinstance(backends, dict) else list(backends)
            settings['vis_backends'] = [*listed, ConsoleBackend(console)]
        return super().build_visualizer(settings)

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
        # mmengine prints what it reads, for a backbone that begins with a checkpoint's weights.
        with drawn_in_order(unwrap(self.model)), prints_go_to_the_log():
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

    def load_checkpoint(self, *args: Any, **kwargs: Any) -> Any:
        """Load a checkpoint; what mmengine prints of it goes to the log."""
        with prints_go_to_the_log():
            return super().load_checkpoint(*args, **kwargs)

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
