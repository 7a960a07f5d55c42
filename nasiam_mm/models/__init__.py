# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Algorithms, heads with a search slot, preprocessors that make views."""

from nasiam_mm.models.algorithms import BYOL, MoCo, SimCLR
from nasiam_mm.models.heads import GenotypeMLP, SearchableMLP
from nasiam_mm.models.preprocessors import TwoViewPreprocessor
from nasiam_mm.models.searched_cells import searched_cells

__all__ = [
    'BYOL',
    'GenotypeMLP',
    'MoCo',
    'SearchableMLP',
    'SimCLR',
    'TwoViewPreprocessor',
    'searched_cells',
]
