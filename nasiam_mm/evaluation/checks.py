# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What every measure asks of its features and labels, and how accuracy is given."""

import torch
from torch import Tensor

# Of a matrix made at a time, in float64 128 MB: bounds the memory of a measure, not its result.
ENTRIES = 2**24


def check_features(name: str, features: Tensor, rows: int = 1) -> None:
    """Require a finite (N, D) matrix of at least ``rows`` rows, or raise ValueError."""
    if features.ndim != 2 or len(features) < rows or not features.size(1):
        shape = tuple(features.shape)
        raise ValueError(f'{name} must be an (N, D) matrix of at least {rows} row(s), got {shape}')
    # The sum of a row is finite where its entries are, but for huge ones.
    if features.sum(1).isfinite().all():
        return
    # In blocks: isfinite() holds two matrices of the size of its argument.
    blocks = features.split(max(1, ENTRIES // features.size(1)))
    broken = (~torch.cat([block.isfinite().all(1) for block in blocks])).nonzero()
    if len(broken):
        first = f'(first: row {int(broken[0])}); the model that made them has diverged'
        raise ValueError(f'{len(broken)} of {len(features)} {name} are not finite {first}')


def check_labels(name: str, labels: Tensor, features: Tensor, num_classes: int) -> Tensor:
    """Require a class index per row of ``features``; return them on its device, (N,) int64."""
    if labels.shape != features.shape[:1] or labels.is_floating_point() or labels.is_complex():
        found = f'{tuple(labels.shape)} of {labels.dtype}'
        raise ValueError(f'{name} must be {len(features)} class indices, got {found}')
    labels = labels.to(features.device, torch.long)
    outside = labels[(labels < 0) | (labels >= num_classes)]
    if len(outside):
        allowed = f'0 to {num_classes - 1}; num_classes must cover every label'
        raise ValueError(f'{name} holds {int(outside[0])}, outside {allowed}')
    return labels


def top_accuracy(rank: Tensor, num_classes: int) -> dict[str, float]:
    """Return ``top1`` and, for more than five classes, ``top5``, in percent.

    ``rank``, (N,), is the number of classes placed before the true one.
    """
    places = (1, 5) if num_classes > 5 else (1,)
    return {f'top{k}': 100 * (rank < k).double().mean().item() for k in places}
