# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Local files that appear whole or not at all (contract C6)."""

import os
import tempfile
from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend


@register_backend('atomic')
class AtomicLocalBackend(LocalBackend):
    """mmengine's local backend, writing beside the target and renaming."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes; whoever dies midway leaves the old file, or none.

        Raises:
            OSError: One line with the path, the cause and the mend.
        """
        filepath = Path(filepath)
        filepath.parent.mkdir(parents=True, exist_ok=True)
        temporary = None
        try:
            with tempfile.NamedTemporaryFile(
                dir=filepath.parent, prefix=f'.{filepath.name}.', delete=False
            ) as stream:
                temporary = stream.name
                stream.write(obj)
                stream.flush()
                # The rename must not reach the disk before the bytes do.
                os.fsync(stream.fileno())
            os.chmod(temporary, 0o644)
            os.replace(temporary, filepath)
        except BaseException as error:
            if temporary is not None and os.path.exists(temporary):
                os.unlink(temporary)
            if isinstance(error, OSError):
                raise OSError(
                    error.errno,
                    f"cannot write '{filepath}': {error.strerror}; free space or choose another "
                    '--work-dir, then go on with --resume; earlier files are whole',
                ) from None
            raise

    def put_text(self, obj: str, filepath: str | Path, encoding: str = 'utf-8') -> None:
        """Write text in the same way."""
        self.put(obj.encode(encoding), filepath)
