# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Image files that cannot be read, found by their headers before training."""

import os
from collections.abc import Iterable

import numpy as np
from torch.utils.data import Dataset

from nasiam_mm.datasets.folder import read_image
from nasiam_mm.datasets.headers import name_some, read_headers
from nasiam_mm.datasets.split import innermost

_HEADERS, _WHOLE = 100_000, 64  # files looked at, at most; files decoded


def name_unreadable(datasets: Iterable[Dataset]) -> list[str]:
    """Name the image files of data sets that cannot be read, a line a folder; none of arrays.

    Of every file, up to a hundred thousand spread evenly, header and end are read; of a few all
    pixels. What several data sets hold is looked at once.
    """
    lines = []
    for folder, files in dict.fromkeys(map(_files, datasets)):
        found, step = read_headers(files, most=_HEADERS)
        whole = range(0, len(files), -(-len(files) // _WHOLE) or 1)
        decoded = {n for n in whole if n not in found and not _decodes(files[n])}
        if broken := [files[n] for n in sorted({*found, *decoded})]:
            told = '' if step == 1 else f' (every {step}th was looked at)'
            mend = 'replace them, or set data.skip_unreadable=True'
            names = name_some(broken)
            lines.append(f'{folder}: {len(broken)} unreadable images{told}: {names}; {mend}')
    return lines


def _files(dataset: Dataset) -> tuple[str, tuple[str, ...]]:
    """Return the folder of a data set and the image files that it holds."""
    dataset = innermost(dataset)
    images, folder = getattr(dataset, '_images', None), getattr(dataset, '_folder', None)
    if folder is None or images is None or images.dtype == np.uint8:
        return '', ()
    rows = dataset.data_list
    return str(folder), tuple(os.path.join(folder, os.fsdecode(images[row])) for row in rows)


def _decodes(path: str) -> bool:
    try:
        return read_image(path).size > 0
    except (ValueError, OSError):
        return False
