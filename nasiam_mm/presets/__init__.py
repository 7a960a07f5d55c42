# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Whole recipes for images of one's own: search, pretraining and the standard head, as configs."""

from nasiam_mm.files.shipped import framework_names
from nasiam_mm.presets.backbone import Backbone, find_backbone
from nasiam_mm.presets.recipe import Recipes, make_recipes
from nasiam_mm.presets.scale import Machine, Scale, choose_scale, fit_size, this_machine

__all__ = [
    'Backbone', 'Machine', 'Recipes', 'Scale', 'choose_scale', 'find_backbone', 'fit_size',
    'framework_names', 'make_recipes', 'this_machine',
]  # fmt: skip
