# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Which training images keep their label when labels are few."""

from math import ceil

import numpy as np
import torch
from torch import Tensor


def balanced_subset(labels: Tensor, num_classes: int, fraction: float, seed: int) -> Tensor:
    """Choose ``round(fraction * N / C)`` images of every class, by a seed.

    For one seed a smaller fraction is a part of a larger one, so that a curve over fractions adds
    labels and never exchanges them; 1 is the whole set as it is. Takes the class indices, (N,), and
    returns ascending indices, int64; ValueError if the fraction is outside (0, 1], leaves a class
    without an image or asks for more than it has.
    """
    if not 0 < fraction <= 1:
        raise ValueError(f'few labels: fraction must be above 0 and at most 1, got {fraction}')
    labels = labels.cpu()
    if fraction == 1:
        return torch.arange(len(labels))
    per_class = round(fraction * len(labels) / num_classes)
    counts = torch.bincount(labels, minlength=num_classes)
    few = f'few labels: {fraction:g} of {len(labels)} labels'
    if per_class < 1:
        # Of three digits, rounded up, so that what is advised is enough.
        least = ceil(num_classes / len(labels) * 1000) / 1000
        raise ValueError(f'{few} is less than one image of each; take {least:g} or more')
    if per_class > counts.min():
        rarest = f'class {int(counts.argmin())} has {int(counts.min())}'
        raise ValueError(f'{few} needs {per_class} images of each class, {rarest}; take less, or 1')
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(labels))
    shuffled = labels[order]
    chosen = [order[(shuffled == c).numpy()][:per_class] for c in range(num_classes)]
    return torch.from_numpy(np.sort(np.concatenate(chosen)))
