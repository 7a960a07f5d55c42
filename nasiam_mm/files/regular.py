# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Reading files of which nothing is known: no pipe is waited for, no nesting ends the process."""

import json
import os
from pathlib import Path
from typing import Any


def require_regular(path: str | os.PathLike) -> Path:
    """Return a path that is there and is a regular file, which a pipe or a device is not.

    Raises:
        FileNotFoundError: If it is not there.
        ValueError: If it is something else.
    """
    path = Path(path)
    path.stat()
    if not path.is_file():
        raise ValueError(f'{path}: no regular file')
    return path


def require_checkpoint(path: str | os.PathLike) -> Path:
    """Return the file of a checkpoint, FileNotFoundError if there is none or it is no file."""
    found = Path(path).expanduser()
    if not found.is_file():
        what = 'is no regular file; name the .pth itself' if found.exists() else 'does not exist'
        raise FileNotFoundError(f"checkpoint '{path}' {what}")
    return found


def is_address(path: str | os.PathLike) -> bool:
    """Tell whether a checkpoint is named by an address, from which it is downloaded."""
    return str(path).startswith(('http://', 'https://'))


def read_text(path: str | os.PathLike) -> str:
    """Read UTF-8 text, or raise as :func:`require_regular`; ValueError where it is none."""
    try:
        return require_regular(path).read_text(encoding='utf-8')
    except UnicodeDecodeError as error:
        raise ValueError(f'{path}: is not text in UTF-8: {error}') from error


def read_json(path: str | os.PathLike) -> Any:
    """Read JSON, or raise as :func:`read_text`; ValueError where it is none."""
    text = read_text(path)
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError('nested too deeply') from error
