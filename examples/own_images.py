# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Write a data set of 300 images of three colours, and what its folder says of itself."""

import sys
from pathlib import Path

import numpy as np

from nasiam_mm.datasets import describe


def write_images(folder: Path) -> None:
    """Write images (300, 32, 32, 3), RGB, their labels (300,), and ``source.json``."""
    rng = np.random.default_rng(0)
    labels = rng.permutation(300).astype(np.uint8) % 3
    images = rng.integers(0, 128, (300, 32, 32, 3), dtype=np.uint8)
    images[np.arange(300), :, :, labels] += 100
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / 'train_images.npy', images)
    np.save(folder / 'train_labels.npy', labels)
    describe(folder, name='three colours').write(folder)


if __name__ == '__main__':
    write_images(Path(sys.argv[1]))
