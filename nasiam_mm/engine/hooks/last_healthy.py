# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The checkpoint that a collapsed run can go back to."""

from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.fileio import copyfile_to_local, exists
from mmengine.runner import Runner

from nasiam_mm.files.atomic import atomic_path


class LastHealthy:
    """Keep the last checkpoint saved between two healthy samples as ``last_healthy.pth``.

    Attributes:
        seen: Newest checkpoint judged.
        path: Newest checkpoint judged healthy, under its own name.
    """

    def __init__(self) -> None:
        self.seen: str | None = None
        self.path: str | None = None

    def judge(self, runner: Runner, healthy: bool) -> None:
        """Keep a copy of the checkpoint saved since the last call, if that is healthy."""
        newest = runner.message_hub.get_info('last_ckpt')
        if newest in (None, self.seen):
            return
        self.seen = newest
        # A run resumed elsewhere still names the file it was resumed from.
        if not healthy or not exists(newest):
            return
        self.path = newest
        if is_main_process():
            # Not a link: CheckpointHook deletes old files and may write to one again.
            with atomic_path(_target(runner)) as part:
                copyfile_to_local(newest, part)

    def told(self, runner: Runner) -> str:
        """Say what there is to go back to."""
        target = _target(runner)
        # A run resumed elsewhere has left the file in its old folder.
        if self.path is None or not target.exists():
            return f'; no checkpoint in {runner.work_dir} was saved while healthy'
        return f'; {target} is the last healthy checkpoint, {self.path}'


def _target(runner: Runner) -> Path:
    return Path(runner.work_dir) / 'last_healthy.pth'
