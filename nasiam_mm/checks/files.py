# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Image files that cannot be read, found by their headers before training."""

import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image
from torch.utils.data import Dataset

from nasiam_mm.datasets.folder import read_image
from nasiam_mm.datasets.split import innermost

_HEADERS, _WHOLE = 100_000, 64  # files looked at, at most; files decoded
_NAMED = 3
_TAIL = 4096  # bytes in which a JPEG ends


def name_unreadable(dataset: Dataset, where: str) -> list[str]:
    """Name the image files of a data set that cannot be read, in one line; none for arrays.

    Of every file, up to a hundred thousand spread evenly, the header is read and, of a JPEG, that
    it ends; of a few all pixels.
    """
    paths = _paths(innermost(dataset))
    step = -(-len(paths) // _HEADERS) or 1
    looked = paths[::step]
    with ThreadPoolExecutor(8) as pool, warnings.catch_warnings():
        warnings.simplefilter('ignore', Image.DecompressionBombWarning)
        broken = [p for p, fault in zip(looked, pool.map(_fault, looked), strict=True) if fault]
    for path in looked[:: -(-len(looked) // _WHOLE) or 1]:
        if path not in broken and not _decodes(path):
            broken.append(path)
    if not broken:
        return []
    names = ', '.join(map(str, broken[:_NAMED]))
    more = f' and {len(broken) - _NAMED} more' if len(broken) > _NAMED else ''
    looked_at = '' if step == 1 else f' (of every {step}th that was looked at)'
    return [f'{where}: {len(broken)} unreadable images{looked_at}: {names}{more}; replace them']


def _paths(dataset: Dataset) -> Sequence[Path]:
    images, folder = getattr(dataset, '_images', None), getattr(dataset, '_folder', None)
    if folder is None or images is None or images.dtype == np.uint8:
        return []
    return [folder / os.fsdecode(name) for name in images]


def _fault(path: Path) -> str | None:
    """Say what is wrong with a file by its header and its end."""
    try:
        with open(path, 'rb') as file, Image.open(file) as image:
            if image.format == 'JPEG':
                file.seek(max(0, os.path.getsize(path) - _TAIL))
                return None if b'\xff\xd9' in file.read() else 'cut short'
        return None
    except Exception as error:  # Pillow's readers let anything through
        return str(error) or 'unreadable'


def _decodes(path: Path) -> bool:
    try:
        return read_image(str(path)).size > 0
    except (ValueError, OSError):
        return False
