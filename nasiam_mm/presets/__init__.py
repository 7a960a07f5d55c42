# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Whole recipes for images of one's own: search, pretraining and the standard head, as configs.

What takes torch is imported when it is asked for: what is wrong with a command is said without.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nasiam_mm.files.shipped import framework_names

if TYPE_CHECKING:
    from nasiam_mm.presets.backbone import Backbone, find_backbone
    from nasiam_mm.presets.recipe import Recipes, make_recipes
    from nasiam_mm.presets.scale import Machine, Scale, choose_scale, fit_size, this_machine

__all__ = [
    'Backbone', 'Machine', 'Recipes', 'Scale', 'choose_scale', 'find_backbone', 'fit_size',
    'framework_names', 'make_recipes', 'this_machine',
]  # fmt: skip

_FILES = {
    'backbone': ('Backbone', 'find_backbone'),
    'recipe': ('Recipes', 'make_recipes'),
    'scale': ('Machine', 'Scale', 'choose_scale', 'fit_size', 'this_machine'),
}


def __getattr__(name: str) -> Any:
    """Import what is asked for; AttributeError for what there is not."""
    for file, names in _FILES.items():
        if name in names:
            return getattr(import_module(f'{__name__}.{file}'), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
