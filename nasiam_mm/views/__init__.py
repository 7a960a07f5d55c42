# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Random parameters of views, from per-sample seeds; no image is touched here."""

from nasiam_mm.views.counter_rng import counter_uniform
from nasiam_mm.views.view_params import (
    CropBox,
    JitterRecipe,
    ViewParams,
    ViewRecipe,
    sample_crop_boxes,
    sample_view_params,
    view_recipes,
)

__all__ = [
    'CropBox',
    'JitterRecipe',
    'ViewParams',
    'ViewRecipe',
    'counter_uniform',
    'sample_crop_boxes',
    'sample_view_params',
    'view_recipes',
]
