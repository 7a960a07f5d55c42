# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Images of CIFAR-10's test part, of which no pretraining here has seen any."""

from pathlib import Path

import numpy as np

from benchmarks.tasks.task import IMAGES, generator
from nasiam_mm.datasets.source import array_path, load_array


def cifar_images(data: Path, seed: int, count: int = IMAGES) -> tuple[np.ndarray, np.ndarray]:
    """Draw test images, uint8 (N, 3, 32, 32), and their classes, int64 (N,), without repetition.

    Raises:
        FileNotFoundError: If the folder does not hold the arrays.
    """
    path = array_path(data, 'test_images')
    if not path.is_file():
        told = f"run 'nasiam data cifar10 --root {data}'"
        raise FileNotFoundError(f'{path}: tasks on CIFAR-10 need its test images; {told}')
    images, labels = load_array(path), load_array(array_path(data, 'test_labels'))
    rows = generator(seed, 'cifar images').permutation(len(images))[:count]
    return np.ascontiguousarray(images[rows].transpose(0, 3, 1, 2)), labels[rows].astype(np.int64)
