# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""By what a file is known wherever it lies."""

import hashlib
import os


def file_digest(path: str | os.PathLike, algorithm: str = 'sha256') -> str:
    """Return a digest of a file's content, in hex, by an algorithm of :mod:`hashlib`."""
    digest = hashlib.new(algorithm)
    with open(path, 'rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
