# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Imports of many modules at once, and rooms that are functions of the package as well."""

import gc
import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any


@contextmanager
def uncollected() -> Iterator[None]:
    """Let nothing look for garbage meanwhile: imports make a million objects and free few.

    Looking through them again and again is a fifth of what importing torch and its friends costs,
    and looking through them as new ones afterwards a tenth: they are old ones then.
    """
    was_on, known = gc.isenabled(), len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            # What somebody has frozen must stay so; to count it is to walk through all of it.
            if len(sys.modules) > known and not gc.get_freeze_count():
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


class CallableRoom(ModuleType):
    """A room of the package that is called as the function of its name in ``nasiam_mm.api``.

    ``nm.search(...)`` and ``nm.export(...)`` share their names with rooms, which an import of a
    part of them puts in the place of the functions.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function, with what it takes and gives."""
        return self._function(*args, **kwargs)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self._function)

    @property
    def _function(self) -> Any:
        return getattr(import_module('nasiam_mm.api'), self.__name__.rpartition('.')[2])


def make_callable(name: str) -> None:
    """Let a room be called, see :class:`CallableRoom`; to be said in its own file."""
    sys.modules[name].__class__ = CallableRoom
