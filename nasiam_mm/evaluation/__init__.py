# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Measures of features as pure functions; nothing here knows a model."""

from nasiam_mm.evaluation.collapse import channel_std, effective_rank
from nasiam_mm.evaluation.knn import knn_accuracy, knn_predict, knn_sweep

__all__ = ['channel_std', 'effective_rank', 'knn_accuracy', 'knn_predict', 'knn_sweep']
