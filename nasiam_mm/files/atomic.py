# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Files that appear whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TMP_MARK = '.tmp'


@contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Give a temporary path beside ``path`` which takes its place when the block succeeds.

    The data reaches the disk before the name does, so a crash leaves the old
    file or the new one. The temporary file has the same suffix and is removed
    when the block fails; a killed process leaves it, named ``.<name>.*.tmp*``.

    Args:
        path: File to write; its folder is made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        prefix=f'.{path.name}.', suffix=f'{TMP_MARK}{path.suffix}', dir=path.parent
    )
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes private files; data is readable as the umask says.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        with open(temporary, 'rb+') as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
