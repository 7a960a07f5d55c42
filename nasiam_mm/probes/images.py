# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The images and the class names behind features, to be looked at."""

import numpy as np
from mmcv.transforms import LoadImageFromFile
from torch.utils.data import Dataset

from nasiam_mm.datasets.split import innermost
from nasiam_mm.probes.feature_sets import FeatureSets


def image_of(dataset: Dataset, index: int) -> np.ndarray:
    """Return an image of a part as the network's pipeline leaves it, uint8 RGB (H, W, 3)."""
    image = dataset[index]['inputs'].permute(1, 2, 0).numpy()
    steps = innermost(dataset).pipeline.transforms
    # mmcv reads files in the order of OpenCV; NumpyToPIL(to_rgb=True) may have turned it.
    turned = any(getattr(step, 'to_rgb', False) for step in steps)
    is_file = any(isinstance(step, LoadImageFromFile) for step in steps)
    return image[..., ::-1] if is_file and not turned else image


def class_names(sets: FeatureSets) -> list[str]:
    """Return the name of each class, or its number where the data set names none."""
    names = sets.datasets['train'].metainfo.get('classes') or range(sets.num_classes)
    return [str(name) for name in names]
