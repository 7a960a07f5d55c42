# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Runs without a word on the screen; their logs are written as ever."""

import io
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout

_FLAG = '--skip-unreadable'


class _Nowhere(io.TextIOBase):
    """A stream that keeps nothing; never closed, as loggers hold on to it."""

    def write(self, text: str) -> int:
        """Take a text."""
        return len(text)


@contextmanager
def quietly(quiet: bool) -> Iterator[None]:
    """Let nothing be printed or warned of, if so asked; a refusal names arguments, not flags.

    Raises:
        ValueError: What is raised within.
        KeyboardInterrupt: Where a run was interrupted, which leaves a process by SystemExit.
    """
    silence = redirect_stdout(_Nowhere()) if quiet else nullcontext()
    try:
        with warnings.catch_warnings(), silence:
            if quiet:
                warnings.simplefilter('ignore')
            yield
    except SystemExit as end:
        if end.code == 130:
            told = 'interrupted; a checkpoint is written, the same call goes on'
            raise KeyboardInterrupt(told) from None
        raise
    except ValueError as error:
        if _FLAG not in str(error):
            raise
        raise ValueError(str(error).replace(_FLAG, 'skip_unreadable=True')) from error
    finally:
        sys.stdout.flush()
