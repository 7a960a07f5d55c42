# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The one writer: files that appear whole or not at all (contract C6)."""

import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TMP_MARK = '.tmp'


@contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Give a temporary path of the same suffix that takes ``path``'s place when the block succeeds.

    The data reaches the disk before the name does, and the name before this returns, so a crash
    leaves the old file or the new one, and a killed process ``.<name>.*.tmp*`` beside it.
    """
    path = Path(path)
    temporary = path.with_name(f'.{path.name}.{secrets.token_hex(4)}{TMP_MARK}{path.suffix}')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        # Some writers make private files; data is readable as the umask says.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)
    except OSError as error:
        ours = (None, str(temporary), str(path), str(path.parent))
        if error.errno is None or error.filename not in ours:
            raise  # of something else that the block does
        what = f"cannot write '{path}': {error.strerror}; free space or choose another place, then "
        mend = 'go on, a training by --resume; earlier files are whole'
        raise OSError(error.errno, what + mend) from error
    finally:
        if os.path.exists(temporary):
            temporary.unlink()


def write_text(text: str, path: str | os.PathLike) -> None:
    """Write text, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding='utf-8')


def copy_file(source: str | os.PathLike, path: str | os.PathLike) -> None:
    """Copy a file, whole or not at all."""
    with atomic_path(path) as temporary:
        shutil.copyfile(source, temporary)


def write_json(data: Any, path: str | os.PathLike) -> None:
    """Write JSON, whole or not at all."""
    write_text(json.dumps(data, indent=2) + '\n', path)


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
