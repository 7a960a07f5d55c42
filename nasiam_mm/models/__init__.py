# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Algorithms, heads with a search slot, preprocessors that make views."""

import nasiam_mm.registry  # noqa: F401, without which mmpretrain would bring mmdet along
from nasiam_mm.models.algorithms.barlow_twins import BarlowTwins, LatentCrossCorrelationHead
from nasiam_mm.models.algorithms.byol import BYOL
from nasiam_mm.models.algorithms.moco import MoCo
from nasiam_mm.models.algorithms.mocov3 import MoCoV3, MoCoV3Head
from nasiam_mm.models.algorithms.pirl import PIRL, PIRLHead
from nasiam_mm.models.algorithms.searched import Searched
from nasiam_mm.models.algorithms.simclr import SimCLR
from nasiam_mm.models.algorithms.simsiam import SimSiam
from nasiam_mm.models.algorithms.swav import SwAV
from nasiam_mm.models.algorithms.vicreg import VICReg, VICRegHead
from nasiam_mm.models.backbones import ChoiceCells, ChoiceMobileNet, ChoiceResNet
from nasiam_mm.models.heads import HeadMLP
from nasiam_mm.models.mocov3_vit import MoCoV3ViT
from nasiam_mm.models.preprocessors import TwoViewPreprocessor
from nasiam_mm.models.timm_features import TimmFeatures

__all__ = [
    'BYOL', 'PIRL', 'BarlowTwins', 'ChoiceCells', 'ChoiceMobileNet', 'ChoiceResNet', 'HeadMLP',
    'LatentCrossCorrelationHead', 'MoCo', 'MoCoV3', 'MoCoV3Head', 'MoCoV3ViT', 'PIRLHead',
    'Searched', 'SimCLR', 'SimSiam', 'SwAV', 'TimmFeatures', 'TwoViewPreprocessor', 'VICReg',
    'VICRegHead',
]  # fmt: skip
