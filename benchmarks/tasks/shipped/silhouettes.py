# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Silhouettes of animals: 28 x 28 pixels, of the PyPI package animal-mnist (MIT)."""

import gzip
import pickletools
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from benchmarks.tasks.task import IMAGES, OTHER, Pool, as_images, generator, task

_COUNT, _SIDE = 10_000, 28


@task('silhouettes', 'animal silhouettes', OTHER)
def silhouettes(data: Path, seed: int) -> Pool:
    """Ten classes, equally many of each.

    Raises:
        ModuleNotFoundError: If the package is not installed.
        ValueError: If its files are not those of release 0.4.
    """
    images = _array('animal_data_version_3.gz', 'u1').reshape(_COUNT, _SIDE, _SIDE)
    labels = _array('animal_label_version_3.gz', '<i8')
    rng, each = generator(seed, 'silhouettes'), IMAGES // 10
    rows = np.concatenate(
        [rng.permutation(np.flatnonzero(labels == label))[:each] for label in range(10)]
    )
    return Pool(as_images(images[rows]), labels[rows].astype(np.int64))


def _array(name: str, kind: str) -> np.ndarray:
    """Read the bytes of a pickled array; nothing is unpickled, its package not imported."""
    spec = find_spec('animal_mnist')
    if spec is None or not spec.submodule_search_locations:
        mend = 'pip install --no-deps animal-mnist==0.4 (its loader alone needs more)'
        raise ModuleNotFoundError(f'animal_mnist is not installed and is needed here; {mend}')
    path = Path(spec.submodule_search_locations[0], 'data/Animal_MNIST', name)
    with gzip.open(path) as file:
        held = [arg for _, arg, _ in pickletools.genops(file.read()) if isinstance(arg, bytes)]
    found = np.frombuffer(max(held, key=len, default=b''), kind)
    if len(found) != _COUNT * (_SIDE**2 if kind == 'u1' else 1):
        raise ValueError(f'{path}: not the array of animal-mnist 0.4; install that release')
    return found
