# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Algorithms, necks with a search slot, preprocessors that make views."""

from nasiam_mm.models.ablations import (
    AblationHead,
    AblationMLP,
    AlternatingSimSiam,
    AsymmetricSimSiam,
    MovingAverageSimSiam,
    SoftmaxSimilarityLoss,
)
from nasiam_mm.models.algorithms import BYOL, MoCo, SimCLR
from nasiam_mm.models.architecture import searched_cells
from nasiam_mm.models.necks import GenotypeMLP, SearchableMLP
from nasiam_mm.models.preprocessors import TwoViewPreprocessor

__all__ = [
    'BYOL',
    'AblationHead',
    'AblationMLP',
    'AlternatingSimSiam',
    'AsymmetricSimSiam',
    'GenotypeMLP',
    'MoCo',
    'MovingAverageSimSiam',
    'SearchableMLP',
    'SimCLR',
    'SoftmaxSimilarityLoss',
    'TwoViewPreprocessor',
    'searched_cells',
]
