# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""CIFAR-10: which of its ten classes an image is of, by which backbones are usually chosen."""

from pathlib import Path

from benchmarks.tasks.shipped.cifar_images import cifar_images
from benchmarks.tasks.task import CIFAR, Pool, task


@task('cifar10', 'CIFAR-10 classes', CIFAR)
def cifar10(data: Path, seed: int) -> Pool:
    """Ten classes."""
    return Pool(*cifar_images(data, seed))
