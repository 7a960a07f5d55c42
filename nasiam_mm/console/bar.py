# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A bar on a terminal, with lines above it."""

import sys
import time
from typing import IO

_SECONDS = 0.1  # between two pictures of it


class Bar:
    """One line that is drawn over again; whoever prints meanwhile prints above it.

    No thread draws it, so that a process may fork; the cursor stays visible, so that nothing is to
    be put right after a kill.
    """

    def __init__(self, stream: IO[str]) -> None:
        # Needed on terminals alone.
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        class Screen(Console):
            def show_cursor(self, show: bool = True) -> bool:
                return False

        self._screen = Screen(file=stream, force_terminal=True, force_jupyter=False)
        head = TextColumn('{task.description}', markup=False)
        told = TextColumn('{task.fields[told]}', markup=False)
        columns = head, BarColumn(bar_width=20), TaskProgressColumn(), told
        self._progress = Progress(
            *columns,
            console=self._screen,
            auto_refresh=False,
            transient=True,
            redirect_stdout=sys.stdout is stream,
        )
        self._task = self._progress.add_task('', total=1.0, told='')
        self._drawn = 0.0

    def draw(self, head: str, share: float, told: str) -> None:
        """Draw it with a text before and behind, at most every tenth of a second."""
        if (now := time.monotonic()) - self._drawn < _SECONDS:
            return
        self._drawn = now
        self._progress.update(self._task, description=head, completed=share, told=told)
        self._progress.start()  # again it changes nothing
        self._progress.refresh()

    def say(self, line: str) -> None:
        """Print a line above it."""
        self._screen.print(line, markup=False, highlight=False, emoji=False, soft_wrap=True)

    def stop(self) -> None:
        """Take it away."""
        self._progress.stop()
