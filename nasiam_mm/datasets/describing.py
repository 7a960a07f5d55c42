# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Find out what a folder of one's own images holds: parts, classes, mean, deviation, size."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from nasiam_mm.datasets.folder import (
    open_part,
    part_digests,
    part_folder,
    read_image,
    square,
)
from nasiam_mm.datasets.headers import name_some
from nasiam_mm.datasets.source import MOST_PIXELS, Source

_LARGEST = 224  # what images are brought to unless asked otherwise
_MEASURED = 20000  # images that mean and deviation are measured on, at most
_MOST_CLASSES = 100_000


def describe(
    folder: Path | str,
    name: str | None = None,
    size: int | None = None,
    skip_unreadable: bool = False,
    broken: list[str] | None = None,
) -> Source:
    """Describe a folder of arrays or of image files; ``Source.write`` keeps what is found.

    A folder without a test part gives a tenth of its training images for one, as a seeded
    permutation draws them. Every image file that is measured is read, so that one that cannot be
    is known before training. The name is by default the folder's; ``size``, the side of the square
    that images are brought to, the middle one of the short edges, at most 224. FileNotFoundError
    if there are no images, ValueError if the set is a published one or a file is damaged; with
    ``skip_unreadable`` mean, deviation and size are those of the others, and ``broken`` takes the
    names of the files that were passed over.
    """
    root = Path(folder)
    if size is not None and not 1 <= size <= MOST_PIXELS:
        raise ValueError(f'--size must be from 1 to {MOST_PIXELS}, got {size}')
    before = None
    with suppress(ValueError):
        before = Source.read(root)
    if before is not None and before.source != 'own':
        raise ValueError(f'{root}: holds {before.name} ({before.source}), which is described')
    found = {'train': open_part(root, 'train')}
    for part in ('test', 'val'):
        with suppress(FileNotFoundError):
            found[part] = open_part(root, part)
    images, labels = found['train']
    classes = _classes(root, images, labels, before)
    size, mean, std = _measure(root, images, size, skip_unreadable, broken)
    found = {part: pair for part, pair in found.items() if labels is None or pair[1] is not None}
    parts, stored = {part: len(pair[0]) for part, pair in found.items()}, {}
    digests: dict[str, str] = {}
    for part, pair in found.items():
        digests |= part_digests(root, part, *pair)
    if 'test' not in parts and 'val' in parts:
        parts['test'], stored['test'] = parts.pop('val'), 'val'
    elif 'test' not in parts and len(images) >= 10:
        parts['test'], stored['test'] = len(images) // 10, 'train'
        parts['train'] -= parts['test']
    name = name or (before.name if before else root.resolve().name)
    return Source(name, 'own', classes, mean, std, size, parts, stored, digests)


def _classes(
    root: Path, images: np.ndarray, labels: np.ndarray | None, before: Source | None
) -> list[str]:
    """Return the names of the classes: of their folders, as written before, or their numbers."""
    if labels is None:
        return []
    for label in (labels.min(), labels.max()):
        if not 0 <= label < _MOST_CLASSES:
            raise ValueError(f'{root}: label {label} is not from 0 to {_MOST_CLASSES - 1}')
    number = int(labels.max()) + 1
    files = map(os.fsdecode, [] if images.dtype == np.uint8 else images)
    names = {name.split('/')[0] for name in files if '/' in name}
    if len(names) == number:
        return sorted(names)
    if before is not None and len(before.classes) >= number:
        return list(before.classes)
    return [str(label) for label in range(number)]


def _measure(
    root: Path, images: np.ndarray, size: int | None, skip: bool, passed: list[str] | None = None
) -> tuple[int, list, list]:
    """Return the size, and mean and deviation per channel of the squares of that size."""
    some = images[:: -(-len(images) // _MEASURED)]
    pixels: Iterator[np.ndarray] = iter(some)
    if images.dtype == np.uint8:
        size = size or min(*images.shape[1:3], _LARGEST)
    else:
        paths = [part_folder(root, 'train') / os.fsdecode(name) for name in some]
        pixels = _read_all(paths, skip, passed)
        if size is None:
            few = _read_all(paths[:: -(-len(paths) // 100)], skip)
            edges = sorted(min(image.shape[:2]) for image in few)
            size = min(edges[len(edges) // 2], _LARGEST)
    count, total, squares = 0, np.zeros(3), np.zeros(3)
    for image in pixels:
        values = square(image, size).reshape(-1, 3).astype(np.float64)
        count += len(values)
        total += values.sum(0)
        squares += np.square(values).sum(0)
    mean = total / count
    # Images of one colour would divide by nothing.
    std = np.sqrt(np.maximum(squares / count - mean**2, 1.0))
    return size, mean.round(3).tolist(), std.round(3).tolist()


def _read_all(
    paths: list[Path], skip: bool, passed: list[str] | None = None
) -> Iterator[np.ndarray]:
    """Read image files one by one; those that cannot be read are told together at the end."""
    broken: list[str] = []
    for path in paths:
        try:
            yield read_image(path)
        except (ValueError, FileNotFoundError) as error:
            is_large = 'million pixels' in str(error)
            broken.append(f'{path} (too large)' if is_large else str(path))
            if passed is not None:
                passed.append(str(path))
    if len(broken) == len(paths) or (broken and not skip):
        mend = 'replace or remove them' + ('' if skip else ', or pass over them: --skip-unreadable')
        raise ValueError(f'no images that OpenCV reads: {name_some(broken)}; {mend}')
