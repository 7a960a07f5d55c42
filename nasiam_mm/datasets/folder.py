# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The images and labels that lie in a folder: arrays, official pickles, or image files."""

import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import mmcv
import numpy as np

from nasiam_mm.datasets.source import OFFICIAL, Source, array_path, load_array, sha256_array

__all__ = ['mend', 'open_part', 'part_digests', 'part_folder', 'read_image', 'square']

_SUFFIXES = ('.jpg', '.jpeg', '.png', '.ppm', '.bmp', '.pgm', '.tif', '.tiff', '.webp')

Part = tuple[np.ndarray, np.ndarray | None]


def mend(root: Path | str, name: str | None) -> str:
    """Say what to do about missing or damaged data of a folder."""
    tool = f'{name.lower()} --root' if name in OFFICIAL else 'describe'
    return f"run 'nasiam data {tool} {root}'"


def read_image(path: str) -> np.ndarray:
    """Read an image file, turned as its EXIF says, to uint8 RGB (H, W, 3).

    Raises:
        ValueError: If it is no image, or too large for OpenCV.
    """
    try:
        if Path(path).exists() and not Path(path).is_file():
            raise TypeError('a pipe would be waited for')
        return mmcv.imfrombytes(Path(path).read_bytes(), channel_order='rgb', backend='cv2')
    except (cv2.error, AttributeError, TypeError) as error:
        raise ValueError(f'{path}: no image that OpenCV reads; replace or remove it') from error


def square(image: np.ndarray, size: int) -> np.ndarray:
    """Resize the short edge of an image (H, W, 3) to ``size`` and cut the square in its centre."""
    height, width = image.shape[:2]
    if (height, width) == (size, size):
        return image
    scale = size / min(height, width)
    shape = max(size, round(width * scale)), max(size, round(height * scale))
    image = mmcv.imresize(image, shape, interpolation='area' if scale < 1 else 'bilinear')
    top, left = (image.shape[0] - size) // 2, (image.shape[1] - size) // 2
    return np.ascontiguousarray(image[top : top + size, left : left + size])


def part_folder(root: Path | str, part: str) -> Path:
    """Return the folder of a part's files; all images of a folder without parts are `train`."""
    folder = Path(root, part)
    return Path(root) if part == 'train' and not folder.is_dir() else folder


def open_part(root: Path | str, part: str, source: Source | None = None) -> Part:
    """Open what lies in a folder under a part's name.

    Args:
        root: The folder.
        part: 'train', 'val' or 'test'.
        source: What the folder says of itself; None where it is only being found out.

    Returns:
        uint8 images (N, H, W, 3), or the files' names within :func:`part_folder`, bytes (N,); and
        the labels, integers (N,), or None where there are none.

    Raises:
        FileNotFoundError: If the part, or a file of it, is not there.
        ValueError: If a file is damaged, or the classes are not those of ``source``.
    """
    path = array_path(root, f'{part}_images')
    if path.exists():
        labels = array_path(root, f'{part}_labels')
        is_labelled = labels.exists() or (source is not None and len(source.classes) > 0)
        return _check_arrays(path, load_array(path), load_array(labels) if is_labelled else None)
    if source is not None and source.name in OFFICIAL:
        return read_official(root, part, source.name)
    listing = Path(root, 'meta', f'{part}.txt')
    if listing.is_file():
        return _read_listing(listing)
    folder = part_folder(root, part)
    files = list(_image_files(folder))
    if not files:
        raise FileNotFoundError(f'{folder}: no images')
    names = sorted({name.split('/')[0] for name in files if '/' in name})
    if not names:
        return _encoded(files), None
    loose = [name for name in files if '/' not in name]
    if loose:
        raise ValueError(
            f'{folder}: {len(loose)} images, such as {loose[0]}, lie beside the folders of the '
            'classes and not in one'
        )
    classes = list(source.classes) if source and set(names) <= set(source.classes) else names
    if source is not None and len(classes) != len(source.classes):
        raise ValueError(
            f'{folder}: {len(names)} folders, which are not the {len(source.classes)} classes of '
            'source.json'
        )
    order = {name: number for number, name in enumerate(classes)}
    return _encoded(files), np.array([order[name.split('/')[0]] for name in files], np.int64)


def _check_arrays(path: Path, images: np.ndarray, labels: np.ndarray | None) -> Part:
    """Refuse no images, and labels that are more or fewer."""
    if not len(images):
        raise ValueError(f'{path}: holds no image')
    if labels is not None and len(labels) != len(images):
        raise ValueError(f'{path}: {len(images)} images with {len(labels)} labels')
    return images, labels


def _encoded(files: list[str]) -> np.ndarray:
    """Return names as one array, which processes share as they do not share a list."""
    return np.array([os.fsencode(name) for name in files])


def _image_files(folder: Path) -> Iterator[str]:
    """Walk over the image files below a folder, sorted, hidden ones left out."""
    for base, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith('.'))
        inside = Path(base).relative_to(folder)
        for name in sorted(names):
            if name.lower().endswith(_SUFFIXES) and not name.startswith('.'):
                yield (inside / name).as_posix()


def _read_listing(listing: Path) -> Part:
    """Read a list of files, each with its label behind it, or none with one."""
    lines = listing.read_text(encoding='utf-8').splitlines()
    rows = [line.strip().rsplit(' ', 1) for line in lines if line.strip()]
    if {len(row) for row in rows} == {1}:
        return _encoded([row[0] for row in rows]), None
    try:
        return _encoded([name for name, _ in rows]), np.array([int(row[1]) for row in rows])
    except ValueError as error:
        raise ValueError(f'{listing}: a line is not a file and its label: {error}') from error


def read_official(root: Path | str, part: str, name: str) -> Part:
    """Read the official pickles, md5-checked, through mmpretrain's class."""
    reader = OFFICIAL[name](data_root=str(root), split=part, download=False, lazy_init=True)
    folder = Path(root, reader.base_folder)
    if not folder.is_dir():
        raise FileNotFoundError(f'{array_path(root, f"{part}_images")}')
    if not reader._check_integrity():
        raise ValueError(f'{folder}: a file is missing or its md5 is not the published one')
    samples = reader.load_data_list()
    images = np.stack([sample['img'] for sample in samples])
    return images, np.array([sample['gt_label'] for sample in samples], np.uint8)


def part_digests(
    root: Path | str, part: str, images: np.ndarray, labels: np.ndarray | None
) -> dict[str, str]:
    """Return the sha256 of a part: of its arrays, or of its files' names and sizes, by name."""
    if images.dtype == np.uint8:
        arrays = {f'{part}_images': images} | ({} if labels is None else {f'{part}_labels': labels})
        return {name: sha256_array(array) for name, array in arrays.items()}
    folder = part_folder(root, part)
    sizes = [os.stat(folder / os.fsdecode(name)).st_size for name in images]
    lines = [b'%s %d\n' % pair for pair in zip(images, sizes, strict=True)]
    return {part: sha256_array(np.frombuffer(b''.join(lines), np.uint8))}
