# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What configs name of this room: the registries import it on first use."""

# ruff: noqa: F401
from nasiam_mm.datasets.decode_crops import DecodeCrops, LoadImage
from nasiam_mm.datasets.images import CIFAR10, CIFAR100, Images
from nasiam_mm.datasets.replay import ReplayDataset, ReplaySampler, ResidentDataset
from nasiam_mm.datasets.split import SplitDataset, split_indices
