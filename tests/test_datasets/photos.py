# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Folders of images as a stranger brings them: files of mixed sizes, in class folders or flat."""

from pathlib import Path

import cv2
import numpy as np


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
