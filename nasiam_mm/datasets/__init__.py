# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Image sets, checked on reading, and their disjoint parts."""

from nasiam_mm.datasets.decode_crops import DecodeCrops, LoadImage
from nasiam_mm.datasets.describe import describe
from nasiam_mm.datasets.images import CIFAR10, CIFAR100, Images
from nasiam_mm.datasets.replay import ReplayDataset, ReplaySampler, endless_batches
from nasiam_mm.datasets.resident import ResidentDataset, as_drawn
from nasiam_mm.datasets.resolve import resolve_data
from nasiam_mm.datasets.source import Source, read_source
from nasiam_mm.datasets.split import (
    SplitDataset,
    image_indices,
    innermost,
    shared_images,
    split_indices,
)

__all__ = [
    'CIFAR10',
    'CIFAR100',
    'DecodeCrops',
    'Images',
    'LoadImage',
    'ReplayDataset',
    'ReplaySampler',
    'ResidentDataset',
    'Source',
    'SplitDataset',
    'as_drawn',
    'describe',
    'endless_batches',
    'image_indices',
    'innermost',
    'read_source',
    'resolve_data',
    'shared_images',
    'split_indices',
]
