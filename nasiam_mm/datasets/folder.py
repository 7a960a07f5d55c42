# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The images and labels that lie in a folder: arrays, official pickles, or image files."""

import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import mmcv
import numpy as np

from nasiam_mm.datasets.headers import name_some, read_header
from nasiam_mm.datasets.known import OFFICIAL
from nasiam_mm.datasets.listing import read_listing
from nasiam_mm.datasets.source import (
    Source,
    array_path,
    file_digest,
    load_array,
    sha256_array,
)
from nasiam_mm.files.marks import is_of_results

_SUFFIXES = ('.jpg', '.jpeg', '.png', '.ppm', '.bmp', '.pgm', '.tif', '.tiff', '.webp')

Labels = np.ndarray | None
Part = tuple[np.ndarray, Labels]


def read_image(path: str | Path) -> np.ndarray:
    """Read an image file, turned as its EXIF says, to uint8 RGB (H, W, 3), or a ValueError."""
    read_header(path)
    try:
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
    """Open the train, val or test part of a folder, which says ``source`` of itself if anything.

    Returns uint8 images (N, H, W, 3), or the files' names within :func:`part_folder`, bytes (N,),
    and integer labels (N,), or None without. FileNotFoundError if the part or a file of it is not
    there, ValueError if a file is damaged or the classes are not those of ``source``.
    """
    path, labels_path = (array_path(root, f'{part}_{kind}') for kind in ('images', 'labels'))
    if path.exists():
        is_labelled = labels_path.exists() or (source is not None and source.classes)
        images, labels = load_array(path), load_array(labels_path) if is_labelled else None
        if not len(images):
            raise ValueError(f'{path}: holds no image')
        if labels is not None and len(labels) != len(images):
            raise ValueError(f'{path}: {len(images)} images with {len(labels)} labels')
        return images, labels if labels is None else _in_range(labels_path, labels, source)
    if source is not None and source.name in OFFICIAL:
        return read_official(root, part, source.name)
    listing, folder = Path(root, 'meta', f'{part}.txt'), part_folder(root, part)
    if (table := listing.with_suffix('.csv')).is_file():
        files, found = read_listing(table, source.classes if source else ())
    elif listing.is_file():
        files, found = _read_listing(listing)
    else:
        files, found = _class_folders(folder, source)
    found = found if found is None else _in_range(listing, found, source)
    # One array, which processes share as they do not share a list.
    return np.array([os.fsencode(name) for name in files]), found


def _in_range(path: Path, labels: np.ndarray, source: Source | None) -> np.ndarray:
    """Return labels that are numbers of the classes of ``source``, or a ValueError."""
    if source is not None and source.classes:
        for label in (labels.min(), labels.max()):
            if not 0 <= label < len(source.classes):
                told = f'is none of the {len(source.classes)} classes of source.json'
                raise ValueError(f'{path}: label {label} {told}')
    return labels


def _class_folders(folder: Path, source: Source | None) -> tuple[list[str], Labels]:
    """List the image files of a folder, with the numbers of their folders as labels."""
    files = list(image_files(folder))
    if not files:
        raise FileNotFoundError(f'{folder}: no images')
    names = sorted({name.split('/')[0] for name in files if '/' in name})
    if not names:
        return files, None
    if loose := [name for name in files if '/' not in name]:
        some = f'{len(loose)} images, such as {name_some(loose[:1])}'
        raise ValueError(f'{folder}: {some}, lie beside the folders of the classes, not in one')
    classes = source.classes if source and set(names) <= set(source.classes) else names
    if source and len(classes) != len(source.classes):
        told = f'which are not the {len(source.classes)} classes of source.json'
        raise ValueError(f'{folder}: {len(names)} folders, {told}')
    order = {name: number for number, name in enumerate(classes)}
    return files, np.array([order[name.split('/')[0]] for name in files], np.int64)


def image_files(folder: Path) -> Iterator[str]:
    """Walk over the image files below a folder, sorted, :func:`left_out` ones left out."""
    for base, folders, names in os.walk(folder):
        inside = Path(base).relative_to(folder)
        if inside.parts and is_of_results(names):
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        for name in sorted(names):
            if name.lower().endswith(_SUFFIXES) and not is_hidden(name):
                yield (inside / name).as_posix()


def left_out(folder: Path | str) -> list[str]:
    """Name the folders below one that are not looked into: hidden, linked, of our results."""
    found = []
    for base, folders, names in os.walk(folder):
        if Path(base) != Path(folder) and is_of_results(names):
            found.append(Path(base).relative_to(folder).as_posix())
            folders.clear()
            continue
        skipped = [n for n in folders if is_hidden(n) or Path(base, n).is_symlink()]
        found += [(Path(base).relative_to(folder) / name).as_posix() for name in sorted(skipped)]
        folders[:] = sorted(name for name in folders if name not in skipped)
    return found


def is_hidden(name: str) -> bool:
    """Tell what a tool has put beside the images by its name."""
    return name.startswith('.') or name in ('__MACOSX', '@eaDir')


def _read_listing(listing: Path) -> tuple[list[str], Labels]:
    """Read a list of files, each with its label behind it, or none with one."""
    try:
        lines = listing.read_text(encoding='utf-8').splitlines()
        rows = [line.strip().rsplit(' ', 1) for line in lines if line.strip()]
        if not rows:
            raise ValueError('it is empty')
        if {len(row) for row in rows} == {1}:
            return [row[0] for row in rows], None
        return [name for name, _ in rows], np.array([int(row[1]) for row in rows], np.int64)
    except (ValueError, OverflowError) as error:
        raise ValueError(
            f'{listing}: a line is not a file and its label: {error!s:.150}'
        ) from error


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


def part_digests(root: Path | str, part: str, images: np.ndarray, labels: Labels) -> dict[str, str]:
    """Return the sha256 of a part: of its arrays, or of its files' names and sizes, by name."""
    if images.dtype == np.uint8:
        arrays = {f'{part}_images': images, f'{part}_labels': labels}
        return {name: file_digest(a) for name, a in arrays.items() if a is not None}
    folder = part_folder(root, part)
    sizes = [os.stat(folder / os.fsdecode(name)).st_size for name in images]
    lines = [b'%s %d\n' % pair for pair in zip(images, sizes, strict=True)]
    return {part: sha256_array(np.frombuffer(b''.join(lines), np.uint8))}
