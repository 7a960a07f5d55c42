# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A study on a terminal: which training runs, how far it is, how much of the study is left."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from nasiam_mm.console.screen import Console
from nasiam_mm.console.steps import share_of_epochs
from nasiam_mm.console.terms import duration
from nasiam_mm.runs.commands import run_command
from nasiam_mm.study.plan import Job, Plan
from nasiam_mm.study.progress import seconds_left, training_name, trainings_left

_TAIL = 4096  # bytes of what a training has said; lines of epochs come last


class StudyBar:
    """Draws a bar while trainings of a study run one by one; without a terminal it does nothing.

    Args:
        console: Where it is drawn.
        launch: What runs a command to its end, as :func:`run_command` does.
    """

    def __init__(self, console: Console, launch: Callable[..., int] = run_command) -> None:
        self.console, self._launch = console, launch
        self._head, self._began = '', 0.0
        self._left: float | None = None
        self._counts = (0, 1)  # trainings done, and left

    def begin(self, plan: Plan, job: Job) -> None:
        """Note what begins, where the study stands as in ``plan``."""
        self._counts, self._left = trainings_left(plan), seconds_left(plan)
        place = plan.taken_up + 1
        self._head = training_name(plan, job.phase, job.key, job.seed, place)
        self._began = time.monotonic()

    def launch(
        self,
        command: Any,
        console: IO[str],
        *,
        look: Callable[[], bool] | None = None,
        **more: Any,
    ) -> int:
        """Run a training as :func:`run_command` does, and show how far it is meanwhile."""
        if not self.console.is_live:
            return self._launch(command, console, look=look, **more)
        said = Path(console.name)
        begun = said.stat().st_size if said.exists() else 0

        def watch() -> bool:
            self.move(share_of_epochs(tail(said, begun)))
            return look() if look is not None else False

        return self._launch(command, console, look=watch, **more)

    def move(self, share: float) -> None:
        """Show how far the training is, from 0 to 1."""
        spent = time.monotonic() - self._began
        told = []
        here = spent / share - spent if share > 0 else None
        if here is not None:
            told.append(f'left {duration(here)} of this training')
        if self._left is not None:
            # What was estimated of this one is in it.
            left = max(here or 0.0, self._left - spent)
            told.append(f'{"" if told else "left "}at most {duration(left)} of all')
        done, left_trainings = self._counts
        whole = (done + share) / max(1, done + left_trainings)
        self.console.draw(self._head, min(1.0, whole), ', '.join(told))


def tail(path: Path, begun: int = 0) -> str:
    """Return the end of what a training has said since its file held ``begun`` bytes."""
    try:
        with path.open('rb') as file:
            size = file.seek(0, 2)
            file.seek(max(begun, size - _TAIL))
            return file.read().decode(errors='replace')
    except OSError:
        return ''
