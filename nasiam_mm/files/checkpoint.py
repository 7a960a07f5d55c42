# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Reading checkpoints without running code from them, and finding the last whole one.

Importing this module replaces the loaders that mmengine registers for local
files and for http: those fall back to full unpickling, which runs whatever the
file says. ``Runner.resume``, ``Runner.load_checkpoint``, ``load_from`` and
``init_cfg=dict(type='Pretrained')`` all read through them. Its further schemes (s3, model
zoos) stay as they are.
"""

import os
import pickle
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import numpy as np
import torch
from mmengine.dist import barrier, is_main_process
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader

_STATISTICS = ('min', 'max', 'current', 'mean')
_TRAINING_STATE = ('state_dict', 'optimizer', 'message_hub')
# What a process that died leaves of a file it wrote: AtomicLocalBackend, atomic_path, CollapseHook.
_LEFTOVER = re.compile(
    r'\.(.+\.pth|last_checkpoint)\.[a-z0-9_]{8}|\..+\.[a-z0-9_]{8}\.tmp(\.\w+)?|last_healthy\.tmp'
)


class UnsafeCheckpointError(ValueError):
    """A checkpoint whose reading could run code."""


class DamagedCheckpointError(ValueError):
    """A checkpoint that is not whole."""


def _statistic(owner: type, name: str) -> Callable:
    """Stand in for ``getattr``, by which a pickled HistoryBuffer names its statistics."""
    if owner is not HistoryBuffer or name not in _STATISTICS:
        raise pickle.UnpicklingError('GLOBAL getattr was not allowed')
    return getattr(HistoryBuffer, name)


def _allowed_types() -> list[Any]:
    """What mmengine's own checkpoints hold beside tensors and plain data."""
    arrays = np._core if hasattr(np, '_core') else np.core
    functions = ('_reconstruct', 'scalar')
    numbers = ('bool', 'uint8', 'int32', 'uint32', 'int64', 'float32', 'float64')
    return [
        HistoryBuffer,
        (_statistic, 'builtins.getattr'),
        np.ndarray,
        np.dtype,
        bytes,  # of an empty array
        *(type(np.dtype(number)) for number in numbers),
        # The module's name in NumPy 2 and in NumPy 1.
        *(
            (getattr(arrays.multiarray, function), f'numpy.{core}.multiarray.{function}')
            for function in functions
            for core in ('_core', 'core')
        ),
    ]


def read_checkpoint(path: str | os.PathLike, map_location: Any = None, mmap: bool = False) -> Any:
    """Read a file of ``torch.save``, running nothing that it brings.

    It may hold tensors, plain data, NumPy arrays and mmengine's
    ``HistoryBuffer``; further types are those of
    ``torch.serialization.add_safe_globals``.

    Args:
        path: The file.
        map_location: Where its tensors go, see ``torch.load``.
        mmap: Whether to leave the tensors in the file until they are used.

    Raises:
        FileNotFoundError: If there is no such file.
        UnsafeCheckpointError: If it holds any other type.
        DamagedCheckpointError: If it is cut short or no such file at all.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"checkpoint '{path}' does not exist")
    damage = DamagedCheckpointError(
        f"checkpoint '{path}' is cut short or damaged; take an earlier one"
    )
    if not mmap and _is_damaged(path):
        raise damage
    try:
        with torch.serialization.safe_globals(_allowed_types()):
            return torch.load(path, map_location, weights_only=True, mmap=mmap)
    except (PermissionError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        # Damage shows as any error; only the text of one tells a type that is not allowed.
        found = re.search(r'GLOBAL (.+?) (?:was not|whose)|function (.+)', str(error))
        if found is None or _is_damaged(path):
            raise damage from error
        raise UnsafeCheckpointError(
            f"checkpoint '{path}' is refused: it holds {found[1] or found[2]}, and reading that "
            'could run code; take one from a source you trust, whose types you allow by '
            'torch.serialization.add_safe_globals'
        ) from None


def _is_damaged(path: str | os.PathLike) -> bool:
    """Whether a record does not fit its checksum, at which ``torch.load`` does not look."""
    # Older versions of torch wrote no archive.
    if not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is not None
    except Exception:
        return True


@CheckpointLoader.register_scheme(prefixes='', force=True)
def load_from_local(filename: str, map_location: Any = None) -> Any:
    """Read a local checkpoint; see :func:`read_checkpoint`."""
    return read_checkpoint(Path(filename).expanduser(), map_location)


@CheckpointLoader.register_scheme(prefixes=('http://', 'https://'), force=True)
def load_from_http(filename: str, map_location: Any = None) -> Any:
    """Download a checkpoint to torch's cache, once per machine, and read it."""
    folder = Path(torch.hub.get_dir(), 'checkpoints')
    target = folder / Path(urlparse(filename).path).name
    if is_main_process() or int(os.environ.get('LOCAL_RANK', 0)) == 0:
        folder.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            torch.hub.download_url_to_file(filename, str(target), progress=is_main_process())
    barrier()
    return read_checkpoint(target, map_location)


@dataclass(frozen=True)
class Search:
    """What a search for the last whole checkpoint found.

    Attributes:
        path: The checkpoint, or None.
        epoch: Epochs it has behind it.
        iteration: Iterations it has behind it.
        notes: What was passed over, and why.
    """

    path: Path | None = None
    epoch: int = 0
    iteration: int = 0
    notes: list[str] = field(default_factory=list)


def find_last_checkpoint(folder: str | os.PathLike) -> Search:
    """Find the checkpoint that is furthest in training and whole.

    Goes by what the files hold, not by their names; ``last_checkpoint``, which
    may be empty or outdated, decides between equals only. Files that hold no
    state of training (exported weights, the best model) do not count.

    Raises:
        UnsafeCheckpointError: If reading a file could run code.
    """
    pointer = Path(folder, 'last_checkpoint')
    named = Path(pointer.read_text().strip()).name if pointer.is_file() else None
    candidates: list[tuple[int, int, bool, Path]] = []
    notes = []
    for path in sorted(Path(folder).glob('*.pth')):
        try:
            checkpoint = read_checkpoint(path, 'cpu', mmap=True)
        except DamagedCheckpointError:
            notes.append(f'skipped {path.name}: cut short or damaged')
            continue
        if isinstance(checkpoint, dict) and all(key in checkpoint for key in _TRAINING_STATE):
            meta = checkpoint['meta']
            candidates.append((meta['iter'], meta['epoch'], path.name == named, path))
    for iteration, epoch, is_named, path in sorted(candidates, reverse=True):
        # So far only its table of contents was read.
        if _is_damaged(path):
            notes.append(f'skipped {path.name}: damaged, a checksum is wrong')
            continue
        if not is_named:
            notes.append(f'ignored last_checkpoint: it names {named or "no file"}')
        return Search(path, epoch, iteration, notes)
    return Search(notes=notes)


def remove_leftovers(folder: str | os.PathLike) -> list[str]:
    """Remove the temporary files of a process that died while it wrote.

    Returns:
        Names of the files removed.
    """
    left = [
        path
        for place in (Path(folder), Path(folder, 'genotypes'))
        if place.is_dir()
        for path in place.iterdir()
        if path.is_file() and _LEFTOVER.fullmatch(path.name)
    ]
    for path in left:
        path.unlink(missing_ok=True)
    return [path.name for path in left]
