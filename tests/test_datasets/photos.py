# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Folders of images as a stranger brings them: files of mixed sizes, in class folders or flat."""

from pathlib import Path

import cv2
import numpy as np
from PIL import ExifTags, Image


def write_photos(
    root: Path, classes: tuple[str, ...] = (), per_class: int = 10, part: str = 'train'
) -> Path:
    """Write PNG files of mixed sizes and seeded noise, a colour a class."""
    rng = np.random.default_rng(len(classes))
    for number, name in enumerate(classes or ('',)):
        folder = root / part / name
        folder.mkdir(parents=True, exist_ok=True)
        color = np.eye(3)[number % 3] * 120
        for count in range(per_class):
            shape = (*rng.integers(20, 60, 2), 3)
            image = (color + rng.integers(0, 120, shape)).astype(np.uint8)
            cv2.imwrite(str(folder / f'{count}.png'), image)
    return root


def write_mixed(
    root: Path, classes: tuple[str, ...] = ('cat', 'dog', 'emu'), each: int = 12
) -> Path:
    """Write images of every mode in nested class folders, all of a class of one colour.

    Grey, RGBA, CMYK, 16-bit, turned by EXIF, WebP; sides of 30 to 60 pixels; a hidden folder.
    """
    rng = np.random.default_rng(0)
    for number, name in enumerate(classes):
        for count in range(each):
            folder = root / name / ('deep/er' if count % 3 == 0 else '')
            folder.mkdir(parents=True, exist_ok=True)
            shape = (*rng.integers(30, 60, 2), 3)
            pixels = (np.eye(3)[number % 3] * 120 + rng.integers(0, 120, shape)).astype(np.uint8)
            image, path = Image.fromarray(pixels), folder / f'{count} of {name}'
            kind = count % 6
            if kind == 0:
                image.convert('L').save(f'{path}.png')
            elif kind == 1:
                image.convert('RGBA').save(f'{path}.png')
            elif kind == 2:
                image.convert('CMYK').save(f'{path}.jpg')
            elif kind == 3:
                cv2.imwrite(f'{path}.png', pixels[..., ::-1].astype(np.uint16) * 257)
            elif kind == 4:
                exif = Image.Exif()
                exif[ExifTags.Base.Orientation] = 6
                image.save(f'{path}.jpg', exif=exif)
            else:
                image.save(f'{path}.webp')
    (root / '.thumbnails').mkdir()
    image.save(root / '.thumbnails/0.png')
    return root
