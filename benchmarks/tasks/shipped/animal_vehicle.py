# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Animal or vehicle: CIFAR-10's classes in two groups."""

from pathlib import Path

import numpy as np

from benchmarks.tasks.shipped.cifar_images import cifar_images
from benchmarks.tasks.task import CIFAR, Pool, task

_VEHICLES = (0, 1, 8, 9)  # airplane, automobile, ship, truck


@task('animal_vehicle', 'animal or vehicle', CIFAR)
def animal_vehicle(data: Path, seed: int) -> Pool:
    """Two classes, 0 for animals."""
    images, labels = cifar_images(data, seed)
    return Pool(images, np.isin(labels, _VEHICLES).astype(np.int64))
