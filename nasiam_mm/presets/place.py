# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A folder of results while it is made: one process at a time, and whole or as it was before."""

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from nasiam_mm.runs.commands import locked

IMAGES = 'data'  # where the lists of the images go


@contextmanager
def alone_in(out: Path) -> Iterator[None]:
    """Make a folder and keep other processes waiting; what was made and stays empty is removed."""
    new = [path for path in (out, *out.parents) if not path.exists()]
    try:
        with ExitStack() as stack:
            while not _is_at(out, _lock(out, stack)):
                stack.close()  # who was here before has taken the folder away
            yield
    except BaseException:
        with suppress(OSError):  # what is not empty stays
            for path in new:
                path.rmdir()
        raise


def _lock(out: Path, stack: ExitStack) -> int | None:
    out.mkdir(parents=True, exist_ok=True)
    try:
        return stack.enter_context(locked(out, wait=True))
    except FileNotFoundError:
        return None


def _is_at(out: Path, lock: int | None) -> bool:
    return lock is not None and out.exists() and os.path.samestat(os.fstat(lock), out.stat())


def remove_unfinished(images: Path, data: Path | str) -> None:
    """Remove what a killed process left of lists of the images of ``data``, and no other folder."""
    for left in images.parent.glob(f'.{images.name}.*.tmp'):
        shutil.rmtree(left, ignore_errors=True)
    link = images / 'train'
    files = (images / 'source.json', images / 'meta/train.csv')
    is_ours = link.is_symlink() and all(file.is_file() for file in files)
    if is_ours and link.resolve() in (Path(data).resolve(), Path(data, 'train').resolve()):
        shutil.rmtree(images)
