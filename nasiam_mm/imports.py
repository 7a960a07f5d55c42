# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Imports of many modules at once."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Let nothing look for garbage meanwhile: imports make a million objects and free few.

    Looking through them again and again is a fifth of what importing torch and its friends costs,
    and looking through them as new ones afterwards a tenth: they are old ones then.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            if not gc.get_freeze_count():  # what somebody has frozen must stay so
                # There and back: all that is alive goes to the oldest generation, unlooked at.
                gc.freeze()
                gc.unfreeze()
            gc.enable()


@contextmanager
def absent(package: str) -> Iterator[None]:
    """Let an import of the package fail meanwhile, unless it has been imported already.

    For a library that imports another where it is there, seconds for what is not asked for here.
    """
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]  # as the language has it
    try:
        yield
    finally:
        del sys.modules[package]
