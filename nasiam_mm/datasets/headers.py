# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What the header and the end of an image file tell, without its pixels."""

import os
import stat
import struct
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from PIL import ExifTags, Image

from nasiam_mm.refusals import printable

# Pillow refuses what has twice as many pixels, and so do we; what is below is no reason to warn.
warnings.simplefilter('ignore', Image.DecompressionBombWarning)
_ENDS = {'JPEG': b'\xff\xd9', 'MPO': b'\xff\xd9', 'PNG': b'IEND'}
_TAIL = 4096  # bytes in which a file ends
_NAMED = 3  # files that a message names
_MEND = '; replace or remove it'

Size = tuple[int, int]


def read_header(path: str | Path) -> Size:
    """Return the width and height that OpenCV gives an image file, turned as its EXIF says.

    ValueError for what is no regular file, no image, cut short, or of more pixels than Pillow
    opens (179 million): a few kB can ask for many GB.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ValueError('no regular file')
        with open(path, 'rb') as file:
            return _header_size(file)
    except FileNotFoundError:
        raise
    except Exception as error:  # Pillow's readers let anything through
        raise ValueError(f'{path}: {_reason(error)}{_MEND}') from error


def _header_size(file: BinaryIO) -> Size:
    with Image.open(file) as image:
        width, height = image.size
        mark, orientation = _ENDS.get(image.format or ''), 1
        with suppress(SyntaxError, ValueError, OSError, struct.error):  # nor turns OpenCV by those
            if mark and (found := image.info.get('exif')):  # others OpenCV does not turn
                exif = Image.Exif()
                exif.load(found)  # image.getexif() may decode all pixels
                orientation = exif.get(ExifTags.Base.Orientation, 1)
        if mark is not None:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - _TAIL))
            if mark not in file.read():  # cut short, or a phone has put a film behind it
                file.seek(0)
                data = file.read()
                decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_REDUCED_COLOR_8)
                # OpenCV takes zeros for the rest of a JPEG.
                if decoded is None or (mark == _ENDS['JPEG'] and not _jpeg_ends(data)):
                    raise ValueError('cut short')
    return (height, width) if orientation in (5, 6, 7, 8) else (width, height)


def _jpeg_ends(data: bytes) -> bool:
    """Look for the end mark behind the header, of which a thumbnail has one of its own."""
    place = 2
    while place < len(data) and data[place : place + 2] != b'\xff\xda':
        place += 2 + int.from_bytes(data[place + 2 : place + 4], 'big')
    return data.find(_ENDS['JPEG'], place) >= 0


def read_headers(
    paths: Sequence[str | Path], sizes: Sequence[Size] = (), most: int | None = None
) -> tuple[dict[int, str], int]:
    """Read many headers, of ``most`` files spread evenly, and find what is wrong with a file.

    With ``sizes``, (width, height), a file of another size is wrong too.

    Returns:
        The faults by the position of the file, and the step from one that was read to the next.
    """
    step = -(-len(paths) // (most or len(paths) or 1)) or 1
    read = range(0, len(paths), step)
    with ThreadPoolExecutor(8) as pool:
        faults = pool.map(lambda n: _fault(paths[n], sizes[n] if sizes else None), read)
        return {n: fault for n, fault in zip(read, faults, strict=True) if fault}, step


def count_broken(count: int) -> str:
    """Write ``'1 broken file is'`` or ``'2 broken files are'``, to go on with what was done."""
    return f'{count} broken file{"s are" if count != 1 else " is"}'


def name_some(names: Sequence[object]) -> str:
    """Write the first few of many names, and how many more there are."""
    more = f' and {len(names) - _NAMED} more' if len(names) > _NAMED else ''
    texts = (printable(str(name)) for name in names[:_NAMED])
    return ', '.join(t if len(t) < 130 else f'{t[:40]} ... {t[-80:]}' for t in texts) + more


def refuse_bomb(image: str | BinaryIO, path: str | Path) -> None:
    """Raise a ValueError for an image of more pixels than :func:`read_header` allows."""
    try:
        with Image.open(image):
            pass
    except Image.DecompressionBombError as error:
        raise ValueError(f'{path}: {_reason(error)}{_MEND}') from error
    except Exception:  # Pillow's readers let anything through; OpenCV decides
        return


def _fault(path: str | Path, size: Size | None) -> str | None:
    try:
        found = read_header(path)
    except (ValueError, OSError) as error:
        return str(error).removeprefix(f'{path}: ').removesuffix(_MEND)
    if size is None or found == size:
        return None
    turned = ': turned, as by EXIF' if found == size[::-1] else ''
    return f'{found[0]} x {found[1]}, not {size[0]} x {size[1]}{turned}'


def _reason(error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return f'more than {2 * (Image.MAX_IMAGE_PIXELS or 0) // 10**6} million pixels'
    text = ' '.join(str(error).split())
    is_told = text and not text.startswith('cannot identify')
    return f'{text:.100}' if is_told else 'no image that OpenCV reads'
