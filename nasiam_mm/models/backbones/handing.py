# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""From the config of an algorithm to that of its backbone, and back to the width it gives."""

import copy
from collections.abc import Mapping, MutableMapping
from typing import Any

import nasiam_mm.models.backbones  # noqa: F401  makes its classes known
from nasiam_mm.architecture.alpha import Architecture
from nasiam_mm.architecture.choice import Choice, op_choices
from nasiam_mm.architecture.genotype import Genotype, GenotypeError
from nasiam_mm.architecture.kinds.kind import BACKBONES
from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.config_walk import type_name
from nasiam_mm.models.backbones.base import ChoiceBackbone
from nasiam_mm.models.cost import weights_as_shapes


def kind_of(backbone: Any) -> type[ChoiceBackbone] | None:
    """Return the class of a config's backbone if it has choices, else None."""
    is_config = isinstance(backbone, Mapping)
    return ChoiceBackbone.known.get(str(type_name(backbone))) if is_config else None


def as_shapes(backbone: Mapping, **changes: Any) -> ChoiceBackbone:
    """Build a backbone of choices without memory for its weights."""
    kind: Any = kind_of(backbone)
    arguments = {**copy.deepcopy(dict(backbone)), **changes}
    for key in ('type', '_scope_'):
        arguments.pop(key, None)
    with weights_as_shapes():
        return kind(**arguments)


def backbone_choices(backbone: Any) -> dict[str, tuple[Choice, ...]]:
    """Return the choices of a config's backbone, group by group; empty where it has no space.

    ValueError if its space does not fit it.
    """
    if kind_of(backbone) is None or backbone.get('space') is None:
        return {}
    return as_shapes(backbone, space=None, genotype=None).choices(backbone['space'])


def mix_evenly(backbone: ChoiceBackbone) -> None:
    """Let what is searched of a backbone on the meta device run without an algorithm around it."""
    for group, cells in backbone.searched.items():
        choices = {group: op_choices(group, cells[0].space, cells[0].shapes)}
        owner = Architecture(choices).to('meta')
        for cell in cells:
            cell.bind(owner)


def hand_backbone(
    parts: MutableMapping[str, Any],
    genotype: Genotype | str | None,
    mixing: dict | None,
    auxiliary: dict | None,
) -> bool:
    """Give the backbone of an algorithm what its genotype decides, and the neck the width it has.

    Args:
        parts: Arguments of the algorithm, which are changed.
        genotype: Of the algorithm, or the path of its file.
        mixing: Of the search; ``auxiliary`` likewise.

    Returns:
        Whether the backbone takes its decisions from that genotype, or has a space of its own.

    Raises:
        GenotypeError: If the genotype decides of a backbone and this is none of that space, or the
            other way round.
    """
    backbone, decides = parts.get('backbone'), False
    kind = kind_of(backbone)
    if genotype is not None:
        read = genotype if isinstance(genotype, Genotype) else load_genotype(genotype)
        groups = [group for group in read.heads if group in BACKBONES]
        mine = [group for group in groups if kind and group in kind.groups]
        if groups != mine:
            other = f'which a {type_name(backbone or {})} has not'
            what = f'the genotype decides of the {groups[0]}, {other}'
            raise GenotypeError(f'{what}; take the recipe of the search it is from')
        decides = bool(mine)
    if kind is None:
        return False
    assert isinstance(backbone, MutableMapping)
    if genotype is not None and backbone.get('genotype') is None:
        if decides:
            backbone['genotype'] = read
        elif backbone.get('space') is not None:
            what = f'the genotype decides only {list(read.heads)}, the backbone has a space'
            raise GenotypeError(f'{what}; take one of this recipe, or take the space away')
    if backbone.get('space') is not None and backbone.get('genotype') is None:
        backbone.update(mixing=mixing, auxiliary=auxiliary)
    neck, width = parts.get('neck'), as_shapes(backbone).out_channels
    if isinstance(neck, MutableMapping) and 'in_channels' in neck:
        # Whatever was decided of widths; the recipe cannot know it.
        neck['in_channels'] = width
    return decides
