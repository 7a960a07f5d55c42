# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Image sets, checked on reading, and their disjoint parts. Importing this registers them."""

# ruff: noqa: F401
from nasiam_mm.datasets.decode_crops import DecodeCrops, LoadImage
from nasiam_mm.datasets.describe import describe
from nasiam_mm.datasets.images import CIFAR10, CIFAR100, Images
from nasiam_mm.datasets.replay import ReplayDataset, ReplaySampler, ResidentDataset
from nasiam_mm.datasets.resolve import resolve_data
from nasiam_mm.datasets.source import Source
from nasiam_mm.datasets.split import SplitDataset, split_indices
