# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Image sets, checked on reading, and their disjoint parts."""

from nasiam_mm.datasets.cifar import CIFAR10, CIFAR100
from nasiam_mm.datasets.decode_crops import DecodeCrops
from nasiam_mm.datasets.replay import ReplayDataset, ReplaySampler, endless_batches
from nasiam_mm.datasets.resident import ResidentDataset, as_drawn
from nasiam_mm.datasets.split import SplitDataset, split_indices

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
