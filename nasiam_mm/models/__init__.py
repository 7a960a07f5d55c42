# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Algorithms, heads with a search slot, preprocessors that make views."""

from nasiam_mm.models.algorithms import BYOL, MoCo, Searched, SimCLR, SimSiam
from nasiam_mm.models.frameworks import FRAMEWORKS
from nasiam_mm.models.heads import HeadMLP
from nasiam_mm.models.preprocessors import TwoViewPreprocessor

__all__ = [
    'BYOL',
    'FRAMEWORKS',
    'HeadMLP',
    'MoCo',
    'Searched',
    'SimCLR',
    'SimSiam',
    'TwoViewPreprocessor',
]
