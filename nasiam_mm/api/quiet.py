# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Runs without a word on the screen, whose refusals name arguments; logs are written as ever."""

import io
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout

from nasiam_mm.presets.asked import check_flag
from nasiam_mm.wording import in_python


class _Nowhere(io.TextIOBase):
    """A stream that keeps nothing; never closed, as loggers hold on to it."""

    def write(self, text: str) -> int:
        """Take a text."""
        return len(text)


@contextmanager
def named_as_arguments() -> Iterator[None]:
    """Let refusals from within name the arguments of a call, not the options of a command."""
    try:
        yield
    except (ValueError, OSError) as error:
        # One of the system has a number and a file, and no words of ours.
        if len(error.args) == 1 and isinstance(error.args[0], str):
            error.args = (in_python(error.args[0]),)
        raise


@contextmanager
def quietly(quiet: bool) -> Iterator[None]:
    """Let nothing be printed or warned of, if so asked; a refusal names arguments, not flags.

    Raises:
        ValueError: What is raised within, or for a ``quiet`` that is neither True nor False.
        KeyboardInterrupt: Where a run was interrupted, which leaves a process by SystemExit.
    """
    check_flag('quiet', quiet)
    silence = redirect_stdout(_Nowhere()) if quiet else nullcontext()
    try:
        with warnings.catch_warnings(), silence, named_as_arguments():
            if quiet:
                warnings.simplefilter('ignore')
            yield
    except SystemExit as end:
        if end.code == 130:
            told = 'interrupted; a checkpoint is written, the same call goes on'
            raise KeyboardInterrupt(told) from None
        raise
    finally:
        sys.stdout.flush()
