# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""mmengine's file backend on the atomic writer (contract C6)."""

from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend

from nasiam_mm.files.atomic import atomic_path


@register_backend('atomic')
class AtomicLocalBackend(LocalBackend):
    """mmengine's local backend, writing beside the target and renaming."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes; see :func:`atomic_path`."""
        with atomic_path(filepath) as temporary:
            temporary.write_bytes(obj)

    def put_text(self, obj: str, filepath: str | Path, encoding: str = 'utf-8') -> None:
        """Write text, also a path that the locale could not decode."""
        self.put(obj.encode(encoding, 'surrogateescape'), filepath)
