# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Image sets, checked on reading, and their disjoint parts."""

from .cifar import CIFAR10, CIFAR100
from .decode_crops import DecodeCrops
from .replay import ReplayDataset, ReplaySampler, endless_batches
from .resident import ResidentDataset, as_drawn
from .split import SplitDataset, split_indices

__all__ = [
    'CIFAR10',
    'CIFAR100',
    'DecodeCrops',
    'ReplayDataset',
    'ReplaySampler',
    'ResidentDataset',
    'SplitDataset',
    'as_drawn',
    'endless_batches',
    'split_indices',
]
