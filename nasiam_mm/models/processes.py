# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Moments of the union of the processes' batches, with the exact gradient.

A loss of them is the same in each process, and the mean of the processes' gradients, which is what
a step takes, is the gradient of one process with the joint batch. Each has as many rows.
"""

import torch
from mmengine.dist import get_world_size
from torch import Tensor
from torch.distributed.nn.functional import all_reduce


def total(tensor: Tensor) -> Tensor:
    """Add up a tensor over the processes; its gradient too, also where that is derived again."""
    return all_reduce(tensor) if get_world_size() > 1 else tensor


def joint_rows(z: Tensor) -> int:
    """Return the number of rows of the union; ValueError if a variance of them is none."""
    count = len(z) * get_world_size()
    if count < 2:
        raise ValueError('a variance over the batch needs two images, got 1; enlarge batch_size')
    return count


def centre(z: Tensor) -> Tensor:
    """Subtract from z, (N, C), the mean over the union's rows."""
    return z - total(z.sum(dim=0)) / joint_rows(z)


def standardise(z: Tensor, eps: float) -> Tensor:
    """Divide centred columns by ``sqrt(var + eps)``, as BatchNorm does; var is divided by N."""
    z = centre(z)
    variance = total(z.square().sum(dim=0)) / joint_rows(z)
    return z * torch.rsqrt(variance + eps)
