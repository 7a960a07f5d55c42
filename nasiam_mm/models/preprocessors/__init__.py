# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Views of images, made from per-sample seeds on the model's device."""

from .counter_rng import counter_uniform
from .two_views import TwoViewPreprocessor
from .view_params import JitterRecipe, ViewRecipe, sample_view_params

__all__ = [
    'JitterRecipe',
    'TwoViewPreprocessor',
    'ViewRecipe',
    'counter_uniform',
    'sample_view_params',
]
