# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Which training images keep their label when labels are few."""

import numpy as np
import torch
from torch import Tensor


def balanced_subset(labels: Tensor, num_classes: int, fraction: float, seed: int) -> Tensor:
    """Choose the same number of images of every class, by a seed.

    ``round(fraction * N / C)`` images of each. For one seed a smaller fraction
    is a part of a larger one, so that a curve over fractions adds labels and
    never exchanges them. A fraction of 1 is the whole set as it is.

    Args:
        labels: Class indices, (N,).
        num_classes: Number of classes C.
        fraction: Part of the labels to keep, in (0, 1].
        seed: Seed of the choice.

    Returns:
        Indices of the chosen images, ascending, int64.

    Raises:
        ValueError: If the fraction leaves a class without an image, asks for
            more than a class has, or is outside (0, 1].
    """
    if not 0 < fraction <= 1:
        raise ValueError(f'few labels: fraction must be above 0 and at most 1, got {fraction}')
    labels = labels.cpu()
    if fraction == 1:
        return torch.arange(len(labels))
    per_class = round(fraction * len(labels) / num_classes)
    counts = torch.bincount(labels, minlength=num_classes)
    if per_class < 1:
        raise ValueError(
            f'few labels: {fraction:g} of {len(labels)} labels in {num_classes} classes is less '
            f'than one image of each; take {num_classes / len(labels):g} or more'
        )
    if per_class > counts.min():
        raise ValueError(
            f'few labels: {fraction:g} needs {per_class} images of each class, class '
            f'{int(counts.argmin())} has {int(counts.min())}; take a smaller fraction, or 1'
        )
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(labels))
    shuffled = labels[order]
    chosen = [order[(shuffled == c).numpy()][:per_class] for c in range(num_classes)]
    return torch.from_numpy(np.sort(np.concatenate(chosen)))
