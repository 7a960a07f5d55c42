# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""From which checkpoint a run goes on, and from which it must not (contracts C6, C8)."""

import os.path as osp

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import BaseLoop, Runner

from nasiam_mm.files.checkpoint import UnsafeCheckpointError
from nasiam_mm.registry import HOOKS
from nasiam_mm.runs.identity import Fingerprint, name_differences, run_fingerprint
from nasiam_mm.runs.last import LastCheckpoint, find_last_checkpoint, remove_leftovers


@HOOKS.register_module()
class ResumeHook(Hook):
    """Find the last whole checkpoint; refuse one of another run.

    With ``resume=True`` and no ``load_from`` (``--resume``), the checkpoint
    that is furthest and whole is taken and named, with what was skipped and
    why; without one the run starts from its beginning and says so. Temporary
    files of a process that died while it wrote are removed.

    Each checkpoint gets the settings that decide how the run ends
    (:func:`run_fingerprint`), and a resumed run must have the same.

    Args:
        strict: Whether a checkpoint of other settings is refused; otherwise
            the differences are a warning.

    Raises:
        ValueError: If the checkpoint is of another run, or holds no record of
            the run it is of.
    """

    # Before a hook takes anything from the checkpoint.
    priority = 'HIGHEST'

    def __init__(self, strict: bool = True) -> None:
        self.strict = strict
        self.fingerprint: Fingerprint | None = None

    def before_run(self, runner: Runner) -> None:
        """Choose the checkpoint, before the runner loads it."""
        # Testing runs through here too, and has no training loop.
        if not isinstance(runner._train_loop, BaseLoop):
            return
        self.fingerprint = run_fingerprint(runner)
        if not runner._resume:
            return
        folder = _checkpoint_folder(runner)
        self._clean(runner, {folder, runner.work_dir})
        if runner._load_from is None:
            self._choose(runner, folder)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Compare the run of the checkpoint with this one."""
        if not runner._resume:
            return
        path = runner._load_from
        theirs = checkpoint.get('fingerprint') if isinstance(checkpoint, dict) else None
        if theirs is None:
            found = (
                f"checkpoint '{path}' holds no record of the run it is of; to start from its "
                'weights alone, give it as load_from without --resume'
            )
        else:
            differences = name_differences(theirs, self.fingerprint)
            if not differences:
                return
            found = (
                f"checkpoint '{path}' is of another run: {differences}; resume with the config "
                'and arguments it was made with, or start anew in another --work-dir'
            )
        if self.strict:
            raise ValueError(f'{found}, or set default_hooks.resume.strict=False to go on with it')
        runner.logger.warning(found)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Put the settings of this run into the checkpoint."""
        checkpoint['fingerprint'] = self.fingerprint

    def _choose(self, runner: Runner, folder: str) -> None:
        """Let the runner resume from the last whole checkpoint, or not at all."""
        # One process decides: over a network they may see different files for a while.
        found: list[LastCheckpoint | UnsafeCheckpointError | None] = [None]
        if is_main_process():
            try:
                found = [find_last_checkpoint(folder)]
            except UnsafeCheckpointError as error:
                found = [error]
        broadcast_object_list(found)
        (last,) = found
        if isinstance(last, UnsafeCheckpointError):
            raise last
        for note in last.notes:
            runner.logger.warning(note)
        if last.path is None:
            runner._resume = False
            whole = 'whole checkpoint' if last.notes else 'checkpoint'
            runner.logger.warning(f'no {whole} in {folder}: starting from the beginning')
            return
        runner._load_from = str(last.path)
        runner.logger.info(
            f'resuming from {last.path}, after {last.iteration} iterations '
            f'({last.epoch} whole epochs)'
        )

    @staticmethod
    def _clean(runner: Runner, folders: set[str]) -> None:
        if is_main_process():
            for name in (name for folder in folders for name in remove_leftovers(folder)):
                runner.logger.info(f'removed {name}, which was being written when the run died')


def _checkpoint_folder(runner: Runner) -> str:
    """Folder that ``CheckpointHook`` is about to choose."""
    for hook in runner.hooks:
        if isinstance(hook, CheckpointHook) and hook.out_dir is not None:
            return osp.join(hook.out_dir, osp.basename(runner.work_dir.rstrip(osp.sep)))
    return runner.work_dir
