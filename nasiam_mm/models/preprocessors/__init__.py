# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Views of images, made from per-sample seeds on the model's device."""

from nasiam_mm.models.preprocessors.stock import ClsDataPreprocessor, SelfSupDataPreprocessor
from nasiam_mm.models.preprocessors.two_views import TwoViewPreprocessor

__all__ = ['ClsDataPreprocessor', 'SelfSupDataPreprocessor', 'TwoViewPreprocessor']
