# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""By what a file is known wherever it lies."""

import hashlib
import os


def file_digest(path: str | os.PathLike) -> str:
    """Return the sha256 of a file's content, in hex."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
