# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Transfer of a pretrained backbone to mmdet's detectors.

A detection config names this package in ``custom_imports``. Importing it makes
mmdet usable on plain wheels and registers what the configs take from
mmpretrain: ``mmpretrain.ResNet_CIFAR`` and mmdet's ``ResLayerExtraNorm``.
"""

import importlib.util

from nasiam_mm.detection.mmcv_ops import install

if importlib.util.find_spec('mmdet') is None:
    raise ModuleNotFoundError(
        "mmdet is not installed and detection needs it; pip install 'nasiam_mm[detection]'"
    )

install()

# After install(): both look for the ops while they are imported.
import mmdet.models  # noqa: E402, F401
import mmpretrain.models  # noqa: E402, F401

__all__ = ['install']
