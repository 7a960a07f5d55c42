# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""mmengine's runner for configs with a ``data`` section."""

import copy

from mmengine.config import Config
from mmengine.runner import Runner

from nasiam_mm.datasets.resolve import resolve_data
from nasiam_mm.engine.hooks.resume_hook import ResumeHook
from nasiam_mm.registry import RUNNERS
from nasiam_mm.unread import find_unread


@RUNNERS.register_module()
class NasiamRunner(Runner):
    """Reads what the folder of the config's ``data`` section says before anything is built.

    What it runs, dumps and compares on a resume is the config with the folder's facts written in;
    see :func:`nasiam_mm.datasets.resolve_data`.
    """

    @classmethod
    def from_cfg(cls, cfg: Config | dict) -> 'NasiamRunner':
        """Build a runner from a config, which stays as it is.

        Raises:
            ValueError: If nothing reads a setting of the config.
        """
        if unread := find_unread(cfg):
            raise ValueError('; '.join(unread[:3]))
        cfg = copy.deepcopy(cfg)
        notes = resolve_data(cfg)
        runner = super().from_cfg(cfg)
        for note in notes:
            runner.logger.info(note)
        return runner

    def register_default_hooks(self, hooks: dict | None = None) -> None:
        """Register the named hooks; None takes one away, be it of mmengine or of a config."""
        stock = ('runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler', 'checkpoint')
        kept = {n: hook for n, hook in (hooks or {}).items() if hook is not None or n in stock}
        super().register_default_hooks(kept)

    def dump_config(self) -> None:
        """Write the config once the run owns the work directory, which ``ResumeHook`` sees to."""
        if not any(isinstance(hook, ResumeHook) and not hook.identity for hook in self.hooks):
            super().dump_config()
