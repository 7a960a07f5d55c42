# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Checkpoints of which one is always whole (contract C6)."""

import os.path as osp
import re
from pathlib import Path

from mmengine.dist import is_main_process, master_only
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import EpochBasedTrainLoop, Runner

from nasiam_mm.files.atomic import atomic_path
from nasiam_mm.registry import HOOKS
from nasiam_mm.runs.work_dir import INTERRUPTED


@register_backend('atomic')
class AtomicLocalBackend(LocalBackend):
    """mmengine's local backend, writing beside the target and renaming."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes; see :func:`atomic_path`."""
        with atomic_path(filepath) as temporary:
            temporary.write_bytes(obj)

    def put_text(self, obj: str, filepath: str | Path, encoding: str = 'utf-8') -> None:
        """Write text, also a path that the locale could not decode."""
        self.put(obj.encode(encoding, 'surrogateescape'), filepath)


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """mmengine's hook, which writes before it removes and writes atomically.

    The stock hook removes the oldest first; with ``max_keep_ckpts=1`` a run killed in between keeps
    none. ``by_epoch=False`` counts ``interval`` in iterations, a ValueError unless the loop resumes
    within an epoch. Before each checkpoint every process calls the hooks' ``gather_rank_states``,
    for what the main one could not save.
    """

    takes_no_more = True  # mmengine's would hand any further argument to torch.save

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs, backend_args=dict(backend='atomic'))

    def before_train(self, runner: Runner) -> None:
        """Check the loop, find the folder, remove what a run that was killed had no time to."""
        if not self.by_epoch and type(runner.train_loop) is EpochBasedTrainLoop:
            mend = "set train_cfg.type='ResumableTrainLoop'"
            raise ValueError(f'EpochBasedTrainLoop cannot resume within an epoch; {mend}')
        super().before_train(runner)
        if runner._resume:
            done = runner.epoch if self.by_epoch else runner.iter
            name = osp.basename(runner._load_from)
            self._point_to(runner, name)
            self._remove_outdated(done, name)

    def after_train(self, runner: Runner) -> None:
        """Remove an interruption's checkpoint from after the last iteration of the schedule."""
        super().after_train(runner)
        name = self.filename_tmpl.format(done := runner.epoch if self.by_epoch else runner.iter)
        if self._point_to(runner, name):
            self._remove_outdated(done, name)

    def save_interrupted(self, runner: Runner) -> str:
        """Save the run between two iterations, outside the schedule, and return the path."""
        # The file goes with the next checkpoint; no state of the run shows that it was written.
        return self._write(runner, INTERRUPTED, dict(epoch=runner.epoch, iter=runner.iter))

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        filename = self.filename_tmpl.format(step)
        self.last_ckpt = osp.join(self.out_dir, filename)
        if self.max_keep_ckpts > 0 and step not in self.keep_ckpt_ids:
            self.keep_ckpt_ids.append(step)  # and forget the oldest where it is full
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        parts = {name: getattr(self, name) for name in ('save_optimizer', 'save_param_scheduler')}
        self._write(runner, filename, meta, **parts)
        self._remove_outdated(step, filename)

    def _write(self, runner: Runner, filename: str, meta: dict, **parts: bool) -> str:
        """Write a checkpoint, then its path to ``last_checkpoint``, and return that."""
        runner.call_hook('gather_rank_states')
        options = {**self.args, **parts, 'backend_args': self.backend_args}
        runner.save_checkpoint(self.out_dir, filename, meta=meta, by_epoch=self.by_epoch, **options)
        self._point_to(runner, filename)
        return osp.join(self.out_dir, filename)

    def _point_to(self, runner: Runner, filename: str) -> bool:
        """Write a checkpoint's path to ``last_checkpoint``; return whether it is there."""
        path = osp.join(self.out_dir, filename)
        if (is_there := self.file_backend.isfile(path)) and is_main_process():
            self.file_backend.put_text(path, osp.join(runner.work_dir, 'last_checkpoint'))
        return is_there

    @master_only
    def _remove_outdated(self, done: int, last: str) -> None:
        """Remove what is older than the ``last`` checkpoint and not to be kept."""
        outdated = {INTERRUPTED}
        if self.max_keep_ckpts > 0:
            before, _, after = map(re.escape, self.filename_tmpl.partition('{}'))
            for name in self.file_backend.list_dir_or_file(self.out_dir, list_dir=False):
                step = re.fullmatch(rf'{before}(\d+){after}', name)
                if step and int(step[1]) < done and int(step[1]) not in self.keep_ckpt_ids:
                    outdated.add(name)
        for path in (osp.join(self.out_dir, name) for name in sorted(outdated - {last})):
            if self.file_backend.isfile(path):
                self.file_backend.remove(path)
