# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The console of a command: what it shows, and which is at work."""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress

from nasiam_mm.console.bar import Bar
from nasiam_mm.console.terms import explain

VERBOSE = 'NASIAM_VERBOSE'  # the variable that brings the log to the console


class Console:
    """Short lines, and on a terminal a bar.

    Args:
        again: Command that goes on with the one that runs; None where there is none such.
        bar: Whether there may be one.

    Attributes:
        scalars: The last value of each figure that was logged.
        fresh: Those that were logged since they were last told.
    """

    def __init__(self, again: str | None = None, bar: bool = True) -> None:
        self.again, self.may_draw = again, bar
        self.scalars: dict[str, float] = {}
        self.fresh: dict[str, float] = {}
        self._stream = sys.stdout  # which may be led elsewhere meanwhile
        self._explained: set[str] = set()
        self._bar: Bar | None = None

    @property
    def is_live(self) -> bool:
        """Whether somebody looks on: lines are few then, as the bar shows the rest."""
        return self.may_draw and self._stream.isatty() and os.environ.get('TERM') != 'dumb'

    def log(self, scalars: Mapping[str, float]) -> None:
        """Note figures that are logged."""
        self.scalars.update(scalars)
        self.fresh.update(scalars)

    def say(self, line: str) -> None:
        """Print a line; a reader that has gone, a closed stream and a full disk stop no run."""
        with suppress(OSError, ValueError):
            if self._bar is not None:
                self._bar.say(line)
            else:
                print(line, file=self._stream, flush=True)

    def explain(self, names: Iterable[str]) -> None:
        """Say what figures are that have not appeared yet."""
        for name in names:
            if name not in self._explained and (told := explain(name)):
                self.say(f'  {name}: {told}')
            self._explained.add(name)

    def draw(self, head: str, share: float, told: str) -> None:
        """Show how far a task is, ``share`` from 0 to 1, where somebody looks on."""
        if self.is_live:
            with suppress(OSError):
                self._bar = self._bar or Bar(self._stream)
                self._bar.draw(head, share, told)

    def close(self) -> None:
        """Take the bar away."""
        bar, self._bar = self._bar, None
        if bar is not None:
            with suppress(OSError):
                bar.stop()


_consoles: list[Console] = []


def current() -> Console | None:
    """Return the console of the command that runs; None where all that is logged is shown."""
    return _consoles[-1] if _consoles else None


def say(line: str) -> None:
    """Print a line, above the bar where there is one."""
    if (console := current()) is not None:
        console.say(line)
    else:
        print(line, flush=True)


@contextmanager
def short_console(again: str | None = None, verbose: bool = False) -> Iterator[Console | None]:
    """Let runs within show short lines in place of their logs, unless it is to be ``verbose``.

    The variable NASIAM_VERBOSE asks for the latter too. Scripts that build a runner without a
    command of ours are left as mmengine has them.
    """
    if verbose or os.environ.get(VERBOSE, '0') not in ('', '0'):
        yield None
        return
    console = Console(again)
    _consoles.append(console)
    try:
        yield console
    finally:
        console.close()
        _consoles.remove(console)
