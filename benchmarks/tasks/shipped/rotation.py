# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Rotation: by how many quarters an image was turned (Gidaris et al., 2018)."""

from pathlib import Path

import numpy as np

from benchmarks.tasks.shipped.cifar_images import cifar_images
from benchmarks.tasks.task import CIFAR, Pool, generator, task


@task('rotation', 'four rotations', CIFAR)
def rotation(data: Path, seed: int) -> Pool:
    """Four classes: 0, 90, 180, 270 degrees, one of each image."""
    images, _ = cifar_images(data, seed)
    turns = generator(seed, 'rotation').permutation(len(images)) % 4
    turned = [np.rot90(image, k, (1, 2)) for image, k in zip(images, turns, strict=True)]
    return Pool(np.stack(turned), turns.astype(np.int64))
