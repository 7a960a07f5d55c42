# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Measures of features as pure functions; nothing here knows a model."""

from nasiam_mm.evaluation.collapse import channel_std, effective_rank
from nasiam_mm.evaluation.few_labels import balanced_subset
from nasiam_mm.evaluation.knn import knn_accuracy, knn_predict, knn_sweep, nearest_neighbours
from nasiam_mm.evaluation.linear import LinearProbe, fit_linear, linear_accuracy, linear_sweep

__all__ = [
    'LinearProbe',
    'balanced_subset',
    'channel_std',
    'effective_rank',
    'fit_linear',
    'knn_accuracy',
    'knn_predict',
    'knn_sweep',
    'linear_accuracy',
    'linear_sweep',
    'nearest_neighbours',
]
