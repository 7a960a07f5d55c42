# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The one reader of checkpoints, ours and mmengine's; it runs nothing they bring (contract C11)."""

import hashlib
import os
import pickle
import shutil
import tempfile
import urllib.request
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import torch
from mmengine.dist import barrier, is_main_process
from mmengine.logging import HistoryBuffer
from torch import Tensor

from nasiam_mm.files.atomic import atomic_path, write_text
from nasiam_mm.files.digest import file_digest
from nasiam_mm.files.pickles import STATISTICS, Refused, scan_checkpoint
from nasiam_mm.files.regular import is_address, require_checkpoint


class UnsafeCheckpointError(ValueError):
    """A checkpoint whose reading could run code, or take more memory than the file is large."""


class DamagedCheckpointError(ValueError):
    """A checkpoint that is not whole."""


def _statistic(owner: type, name: str) -> Callable:
    """Stand in for the ``getattr`` of a pickled HistoryBuffer's statistics."""
    if owner is not HistoryBuffer or name not in STATISTICS:
        raise pickle.UnpicklingError('getattr')
    return getattr(HistoryBuffer, name)


_MULTIARRAY = (np._core if hasattr(np, '_core') else np.core).multiarray
# What mmengine's own checkpoints hold beside tensors and plain data.
_ALLOWED = [
    HistoryBuffer,
    (_statistic, 'builtins.getattr'),
    np.ndarray,
    np.dtype,
    bytes,  # of an empty array
    *{type(np.dtype(code)) for code in '?bBhHiIlLqQefdFD'},
    # The module's name in NumPy 2 and in NumPy 1.
    *((_MULTIARRAY._reconstruct, f'numpy.{c}.multiarray._reconstruct') for c in ('_core', 'core')),
    *((_MULTIARRAY.scalar, f'numpy.{core}.multiarray.scalar') for core in ('_core', 'core')),
]


def read_checkpoint(path: str | os.PathLike, map_location: Any = None, mmap: bool = False) -> Any:
    """Read a file of ``torch.save``, by path or http address, running nothing that it brings.

    It may hold tensors, plain data, arrays of numbers, mmengine's ``HistoryBuffer`` and the types
    of ``torch.serialization.add_safe_globals``; any other, or a claim to more than the file is
    large, is an UnsafeCheckpointError before anything is allocated. ``mmap`` leaves the tensors in
    the file until they are used; checksums are then looked at only if something else is wrong.
    """
    address, path = str(path), find_file(path)
    damage = DamagedCheckpointError(
        f"checkpoint '{address}' is cut short or damaged, or no checkpoint; take an earlier one"
    )
    if not mmap and is_damaged(path):
        raise damage
    user_types = {
        entry[1] if isinstance(entry, tuple) else f'{entry.__module__}.{entry.__qualname__}'
        for entry in torch.serialization.get_safe_globals()
    }
    try:
        scan_checkpoint(path, user_types)
        with torch.serialization.safe_globals(_ALLOWED):
            # torch maps by a name in UTF-8, which one that the locale cannot decode has not.
            mapped = mmap and os.fsencode(path) == str(path).encode('utf-8', 'replace')
            mapped = mapped and zipfile.is_zipfile(path)
            return torch.load(path, map_location, weights_only=True, mmap=mapped)
    except (PermissionError, MemoryError, torch.OutOfMemoryError):
        raise
    except Refused as error:
        if is_damaged(path):
            raise damage from error
        raise UnsafeCheckpointError(
            f"checkpoint '{address}' is refused: it holds {error}, which could run code or fill "
            'memory; types that you trust you allow by torch.serialization.add_safe_globals'
        ) from None
    except Exception as error:
        raise damage from error  # damage shows as any error


def weights_of(checkpoint: Any, path: object) -> dict[str, Any]:
    """Return a checkpoint's weights, in place without the marks of what wrapped the network."""
    weights = checkpoint.get('state_dict', checkpoint) if isinstance(checkpoint, dict) else None
    if not isinstance(weights, dict) or not all(isinstance(name, str) for name in weights):
        raise ValueError(f"checkpoint '{path}' holds no weights by name; take one of a training")
    # Of DistributedDataParallel and torch.compile; all are put in again, for their order.
    for name in list(weights):
        value = weights.pop(name)
        weights[name.replace('_orig_mod.', '').removeprefix('module.')] = value
    return weights


def misfits(expected: Mapping[str, Tensor], found: Mapping[str, Any]) -> list[str]:
    """Return a phrase for each entry missing, left over, or of another kind, type or shape."""
    problems = []
    for name, ours in expected.items():
        theirs = found.get(name)
        if name not in found:
            problems.append(f'{name} is missing')
        elif not isinstance(theirs, Tensor):
            problems.append(f'{name} is a {type(theirs).__name__}, not a tensor')
        elif ours.shape != theirs.shape:
            problems.append(f'{name} is {tuple(theirs.shape)}, not {tuple(ours.shape)}')
        elif ours.is_floating_point() != theirs.is_floating_point():
            problems.append(f'{name} is of {theirs.dtype}, not of {ours.dtype}')
    return problems + [f'{name} is left over' for name in found if name not in expected]


def is_damaged(path: str | os.PathLike) -> bool:
    """Whether a record does not fit its checksum, at which ``torch.load`` does not look."""
    if not zipfile.is_zipfile(path):
        return False  # older versions of torch wrote no archive
    try:
        with zipfile.ZipFile(path) as archive:
            # What is packed is refused unread: it would unpack to any size.
            is_packed = any(r.compress_type != zipfile.ZIP_STORED for r in archive.infolist())
            return not is_packed and archive.testzip() is not None
    except Exception:
        return True


def find_file(path: str | os.PathLike) -> Path:
    """Return the regular file of a path or an http address, or raise an OSError."""
    return _download(str(path)) if is_address(path) else require_checkpoint(path)


def _download(address: str) -> Path:
    """Download to torch's cache, once per address and machine while its content is as noted."""
    key = hashlib.sha256(address.encode()).hexdigest()
    folder = Path(torch.hub.get_dir(), 'checkpoints', 'nasiam_mm', key)
    target = folder / (Path(urlsplit(address).path).name or 'checkpoint.pth')
    digest = folder / 'sha256'
    try:
        if is_main_process() or int(os.environ.get('LOCAL_RANK', 0)) == 0:
            noted = digest.read_text(encoding='utf-8') if digest.is_file() else None
            if not target.is_file() or file_digest(target) != noted:
                request = urllib.request.Request(address, headers={'User-Agent': 'nasiam_mm'})
                response = urllib.request.urlopen(request, timeout=30.0)
                with response, atomic_path(target) as whole, open(whole, 'wb') as file:
                    shutil.copyfileobj(response, file)
                    if response.length:  # what is left of those announced
                        raise OSError(f'{response.length} bytes did not come')
                write_text(file_digest(target), digest)
    except OSError as error:
        raise OSError(f"checkpoint '{address}' cannot be downloaded: {error}") from error
    finally:
        barrier()  # also where it failed, or the other processes would wait for ever
    return target


def load_for_mmengine(filename: Any, map_location: Any = None, **_: Any) -> Any:
    """Read a checkpoint for mmengine, less the text that ``Runner.resume`` would run."""
    if isinstance(filename, (str, os.PathLike)):
        checkpoint = read_checkpoint(filename, map_location)
    else:
        with tempfile.NamedTemporaryFile(suffix='.pth') as copy:
            shutil.copyfileobj(filename, copy)
            copy.flush()
            checkpoint = read_checkpoint(copy.name, map_location)
    weights_of(checkpoint, filename)
    if isinstance(meta := checkpoint.get('meta'), dict):
        meta.pop('config', None)
    return checkpoint
