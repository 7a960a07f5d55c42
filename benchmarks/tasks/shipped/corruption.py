# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Corruption: which of six things was done to an image, the first of which is nothing."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from benchmarks.tasks.shipped.cifar_images import cifar_images
from benchmarks.tasks.task import CIFAR, Pool, generator, task

_Corrupt = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def _noise(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.clip(image + rng.normal(0, 25, image.shape), 0, 255).astype(np.uint8)


def _blur(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return cv2.GaussianBlur(image, (0, 0), 2)


def _contrast(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    mean = image.mean((0, 1), keepdims=True)
    return np.clip(mean + 0.35 * (image - mean), 0, 255).astype(np.uint8)


def _pixels(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    small = cv2.resize(image, (8, 8), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, image.shape[1::-1], interpolation=cv2.INTER_NEAREST)


def _lines(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    changed = image.copy()
    changed[rng.integers(4) :: 4] = 0
    return changed


# Each is still seen where images are averaged down to half their side.
CORRUPTIONS: tuple[_Corrupt, ...] = (
    lambda image, rng: image,
    _noise,
    _blur,
    _contrast,
    _pixels,
    _lines,
)


@task('corruption', 'corruption type', CIFAR)
def corruption(data: Path, seed: int) -> Pool:
    """Six classes: as it is, noise, blur, low contrast, coarse pixels, dark lines."""
    images, _ = cifar_images(data, seed)
    rng = generator(seed, 'corruption')
    kinds = rng.permutation(len(images)) % len(CORRUPTIONS)
    changed = [
        CORRUPTIONS[kind](np.ascontiguousarray(image.transpose(1, 2, 0)), rng).transpose(2, 0, 1)
        for image, kind in zip(images, kinds, strict=True)
    ]
    return Pool(np.stack(changed), kinds.astype(np.int64))
