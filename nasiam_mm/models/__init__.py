# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Algorithms, heads with a search slot, preprocessors that make views."""

import nasiam_mm.registry  # noqa: F401, without which mmpretrain would bring mmdet along
from nasiam_mm.models.algorithms.byol import BYOL
from nasiam_mm.models.algorithms.moco import MoCo
from nasiam_mm.models.algorithms.searched import Searched
from nasiam_mm.models.algorithms.simclr import SimCLR
from nasiam_mm.models.algorithms.simsiam import SimSiam
from nasiam_mm.models.algorithms.swav import SwAV
from nasiam_mm.models.heads import HeadMLP
from nasiam_mm.models.preprocessors import TwoViewPreprocessor
from nasiam_mm.models.timm_features import TimmFeatures

__all__ = [
    'BYOL', 'HeadMLP', 'MoCo', 'Searched', 'SimCLR', 'SimSiam', 'SwAV', 'TimmFeatures',
    'TwoViewPreprocessor',
]  # fmt: skip
