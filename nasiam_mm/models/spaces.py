# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The choices of a model, from its config alone."""

from collections.abc import Iterable, Mapping
from typing import Any

from nasiam_mm.architecture.choice import Choice
from nasiam_mm.architecture.space import choices_of_space
from nasiam_mm.config_walk import type_name, walk
from nasiam_mm.models.backbones.handing import backbone_choices
from nasiam_mm.models.heads import head_shapes


def head_configs(model: Mapping) -> list[dict]:
    """Return the configs of ``HeadMLP`` within the neck and the head of a model's config."""
    parts = walk([model.get('neck'), model.get('head')])
    return [part for part in parts if type_name(part) == 'HeadMLP']


def recipe_shapes(heads: Iterable[Mapping]) -> dict[str, Any]:
    """Layers of each head that its recipe searches; None where it names no depth."""
    return {h['name']: head_shapes(**h) if h.get('depth') is not None else None for h in heads}


def choices_of_model(model: Mapping) -> dict[str, tuple[Choice, ...]]:
    """Return all that the spaces of a model's config decide: head -> choices, '' for no head.

    Groups of a backbone come first.

    Raises:
        ValueError: If it has no space, or one that does not fit its heads.
    """
    heads, space = head_configs(model), model.get('space')
    backbone = backbone_choices(model.get('backbone'))
    own = {head['name']: head.get('space') for head in heads}
    shared = [h for h in heads if own[h['name']] is None and h.get('genotype') is None]
    if space is None and not any(own.values()) and not backbone:
        raise ValueError('the config has no model.space, so it searches nothing')
    found = {} if space is None else choices_of_space(space, recipe_shapes(shared))
    for head in heads:
        if (mine := own[head['name']]) is not None:
            mine = {head['name']: mine} if isinstance(mine, Mapping) else mine
            found |= choices_of_space(mine, recipe_shapes([head]))
    order = [name for name in (*own, '') if name in found]
    return backbone | {name: found[name] for name in order}
