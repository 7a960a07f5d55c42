# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Checkpoints of which one is always whole (contract C6)."""

import os.path as osp
import re

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.runner import EpochBasedTrainLoop, Runner

import nasiam_mm.files.backend  # noqa: F401
from nasiam_mm.registry import HOOKS
from nasiam_mm.runs.last import INTERRUPTED


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """mmengine's hook, which writes before it removes and writes atomically.

    The stock hook removes the oldest checkpoint first; with
    ``max_keep_ckpts=1`` a run killed in between keeps none.

    ``by_epoch=False`` counts ``interval`` in iterations, which needs a loop that resumes within an
    epoch: ``ResumableTrainLoop``. Before each checkpoint every process calls the hooks'
    ``gather_rank_states``, for what the main process alone could not save.

    Args:
        **kwargs: See ``mmengine.hooks.CheckpointHook``.

    Raises:
        ValueError: Before training, if the loop cannot resume from a checkpoint by iteration.
    """

    takes_no_more = True  # mmengine's would hand any further argument to torch.save

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs, backend_args=dict(backend='atomic'))

    def before_train(self, runner: Runner) -> None:
        """Check the loop, find the folder, remove what a run that was killed had no time to."""
        if not self.by_epoch and type(runner.train_loop) is EpochBasedTrainLoop:
            raise ValueError(
                'EpochBasedTrainLoop cannot resume within an epoch, so that checkpoints by '
                "iteration would not be exact; set train_cfg.type='ResumableTrainLoop'"
            )
        super().before_train(runner)
        if runner._resume and is_main_process():
            self._remove(self._outdated(runner))

    def _outdated(self, runner: Runner) -> list[str]:
        """Name the checkpoints that are older than the one resumed from and not to be kept."""
        outdated = {INTERRUPTED}
        if self.max_keep_ckpts > 0:
            before, _, after = map(re.escape, self.filename_tmpl.partition('{}'))
            done = runner.epoch if self.by_epoch else runner.iter
            names = self.file_backend.list_dir_or_file(self.out_dir, list_dir=False)
            steps = {name: re.fullmatch(rf'{before}(\d+){after}', name) for name in names}
            outdated |= {name for name, step in steps.items() if step and int(step[1]) < done}
            outdated -= {self.filename_tmpl.format(step) for step in self.keep_ckpt_ids}
        return sorted(outdated - {osp.basename(runner._load_from)})

    def save_interrupted(self, runner: Runner) -> str:
        """Save the run between two iterations, outside the schedule, and return the path.

        The file goes with the next checkpoint; no state of the run shows that it was written.
        """
        meta = dict(epoch=runner.epoch, iter=runner.iter)
        self._write(runner, INTERRUPTED, meta, whole=True)
        return osp.join(self.out_dir, INTERRUPTED)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        filename = self.filename_tmpl.format(step)
        self.last_ckpt = osp.join(self.out_dir, filename)
        outdated = [INTERRUPTED]
        if self.max_keep_ckpts > 0 and step not in self.keep_ckpt_ids:
            if len(self.keep_ckpt_ids) == self.max_keep_ckpts:
                outdated.append(self.filename_tmpl.format(self.keep_ckpt_ids.popleft()))
            self.keep_ckpt_ids.append(step)
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        self._write(runner, filename, meta)
        if is_main_process():
            self._remove(outdated)

    def _remove(self, names: list[str]) -> None:
        for path in (osp.join(self.out_dir, name) for name in names):
            if self.file_backend.isfile(path):
                self.file_backend.remove(path)

    def _write(self, runner: Runner, filename: str, meta: dict, whole: bool = False) -> None:
        """Write a checkpoint, then its path to ``last_checkpoint``."""
        runner.call_hook('gather_rank_states')
        runner.save_checkpoint(
            self.out_dir,
            filename,
            save_optimizer=whole or self.save_optimizer,
            save_param_scheduler=whole or self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        if is_main_process():
            path = osp.join(self.out_dir, filename)
            self.file_backend.put_text(path, osp.join(runner.work_dir, 'last_checkpoint'))
