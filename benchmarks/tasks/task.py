# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What a downstream task is: images with labels, made the same again from a seed.

A task of yours is one file that registers it:

    from benchmarks.tasks.task import OTHER, Pool, task

    @task('mine', 'what it asks', OTHER)
    def mine(data: Path, seed: int) -> Pool: ...
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

SIDE = 32  # pixels of an image
IMAGES = 2400  # of a task, where its source has as many
# Whose images a task takes: those pretrained on are of CIFAR-10 too.
CIFAR, OTHER = 'CIFAR images', 'other images'


@dataclass(frozen=True)
class Pool:
    """The images of a task, from which its splits are cut.

    Attributes:
        images: uint8 (N, 3, 32, 32), RGB.
        labels: Class indices, int64 (N,).
        regions: Numbers, (N,), of what an image is a part of: no two parts of a split share
            one. None where every image stands for itself.
    """

    images: np.ndarray
    labels: np.ndarray
    regions: np.ndarray | None = None

    def __post_init__(self) -> None:
        shape, count = (3, SIDE, SIDE), len(self.images)
        if self.images.dtype != np.uint8 or self.images.shape[1:] != shape:
            found = f'{self.images.dtype} {self.images.shape}'
            raise ValueError(f'images of a task must be uint8 (N, 3, {SIDE}, {SIDE}), got {found}')
        for name in ('labels', 'regions'):
            value = getattr(self, name)
            if value is not None and (value.dtype.kind not in 'iu' or value.shape != (count,)):
                told = f'{value.dtype} {value.shape}'
                raise ValueError(f'{name} of a task must be integers ({count},), got {told}')

    @property
    def classes(self) -> int:
        """Number of classes."""
        return 1 + int(self.labels.max())

    def images_digest(self) -> str:
        """Return the sha256 of the images: tasks on the same ones share their features."""
        return hashlib.sha256(np.ascontiguousarray(self.images).data).hexdigest()

    def digest(self) -> str:
        """Return the sha256 of all that the task is, the first 12 digits."""
        found = hashlib.sha256(self.images_digest().encode())
        for value in (self.labels, self.regions):
            found.update(b'-' if value is None else value.astype('<i8').tobytes())
        return found.hexdigest()[:12]


# Folder of CIFAR-10, seed -> images and labels.
Make = Callable[[Path, int], Pool]


@dataclass(frozen=True)
class Task:
    """A task by its name; ``title`` says what it asks, ``group`` whose images it takes."""

    name: str
    title: str
    group: str
    make: Make


TASKS: dict[str, Task] = {}


def task(name: str, title: str, group: str) -> Callable[[Make], Make]:
    """Register the function that makes a task; ValueError for a name that is taken."""

    def register(make: Make) -> Make:
        if name in TASKS:
            raise ValueError(f"there is a task '{name}' already; take another name")
        TASKS[name] = Task(name, title, group, make)
        return make

    return register


def find_tasks(names: Sequence[str]) -> Mapping[str, Task]:
    """Return tasks by name; ValueError for one that there is not."""
    import benchmarks.tasks.shipped  # noqa: F401, registers those that are shipped

    if unknown := [name for name in names if name not in TASKS]:
        raise ValueError(f"there is no task '{unknown[0]}'; there are {', '.join(TASKS)}")
    return {name: TASKS[name] for name in names}


def generator(seed: int, name: str) -> np.random.Generator:
    """Return a generator for one thing of one seed; tasks do not share their draws."""
    own = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], 'little')
    return np.random.Generator(np.random.PCG64([seed, own]))


def as_images(pictures: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    """Bring grey, (H, W), or RGB pictures, (H, W, 3), uint8, to uint8 (N, 3, 32, 32)."""
    found = np.empty((len(pictures), 3, SIDE, SIDE), np.uint8)
    for place, picture in zip(found, pictures, strict=True):
        how = cv2.INTER_AREA if min(picture.shape[:2]) > SIDE else cv2.INTER_LINEAR
        if picture.shape[:2] != (SIDE, SIDE):
            picture = cv2.resize(picture, (SIDE, SIDE), interpolation=how)
        place[:] = picture if picture.ndim == 2 else picture.transpose(2, 0, 1)
    return found
