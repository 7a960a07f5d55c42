# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What a space or a genotype of a whole model decides beside the insides of its heads."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from nasiam_mm.architecture.genotype import Genotype, GenotypeError
from nasiam_mm.architecture.kinds.kind import BACKBONES, KINDS, Option
from nasiam_mm.architecture.plan import ModelPlan
from nasiam_mm.architecture.points import check_within
from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.architecture.space import choices_of_space, read_space, split_for_gradient
from nasiam_mm.config_walk import type_name
from nasiam_mm.models.spaces import recipe_shapes


def apply_genotype(
    plan: ModelPlan, heads: Sequence[dict], given: Genotype | str, space: Any
) -> None:
    """Let a genotype decide of a model what belongs to none of its heads.

    Args:
        plan: Of the model, which is changed.
        heads: Configs of the ``HeadMLP`` in it.
        given: The genotype, or the path of its file.
        space: Space that the genotype must be of, or None.

    Raises:
        GenotypeError: If it decides what the model does not have, or is none of the space.
    """
    genotype = given if isinstance(given, Genotype) else load_genotype(given)
    where = f'the genotype ({genotype.framework})'
    if not isinstance(given, Genotype):
        where = f"genotype '{given!s:.200}' ({genotype.framework})"
    # What is of the backbone was handed on to it, and held against its own space there.
    mine = {n: d for n, d in genotype.decisions.items() if n.split('.')[0] not in BACKBONES}
    genotype = replace(genotype, decisions=mine)
    names = [head.get('name') for head in heads]
    for head in genotype.heads:
        # Operations of heads that a framework does not have were never held against a genotype.
        if head not in names and (settings := genotype.settings(head)):
            lost = f'decides {head}.{next(iter(settings))}, but this {plan.algorithm} has no {head}'
            raise GenotypeError(f'{where} {lost}; take those choices away')
    try:
        if space is not None:
            check_within(genotype, choices_of_space(space, recipe_shapes(heads)))
        _couple(plan, genotype.settings())
        _check_predictor(plan, genotype)
    except ValueError as error:
        raise GenotypeError(f'{where}: {error}') from None
    if width := genotype.settings('projector').get('out_channels'):
        plan.width = int(width)


def refuse_coupled(heads: Sequence[dict]) -> None:
    """Refuse a head's own genotype that decides what belongs to no head, with a GenotypeError."""
    for head in heads:
        path = head.get('genotype')
        if isinstance(path, str) and (coupled := load_genotype(path).settings()):
            what = f'decides {next(iter(coupled))}, which is of no head'
            mend = f'set model.genotype in place of that of the {head.get("name")}'
            raise GenotypeError(f"genotype '{path:.200}' {what}; {mend}")


def apply_space(plan: ModelPlan, heads: Sequence[dict], space: Any) -> None:
    """Hand a space to the heads of a model that is searched by gradient.

    Args:
        plan: Of the model, which is changed.
        heads: Configs of the ``HeadMLP`` that the space is for, which are changed.
        space: A list of operations, or a dict of choices of which all others have one option.

    Raises:
        ValueError: If another choice has several options or decides nothing in this model.
    """
    if not isinstance(space, Mapping):
        for head in heads:
            head.update(space=space)
        return
    read = read_space(space, [head['name'] for head in heads])
    width = split_for_gradient('projector', read.heads.get('projector', {}))[1].get('out_channels')
    for head in heads:
        head.update(space=dict(read.heads[head['name']]))
        if width is not None and head['name'] == 'predictor':
            last = 'cell_channels' if head.get('out_channels') is None else 'out_channels'
            head.update({'in_channels': width, last: width})
    _couple(plan, split_for_gradient('', read.coupled)[1])
    plan.width = None if width is None else int(width)


def _couple(plan: ModelPlan, settings: Mapping[str, Option]) -> None:
    """Apply what belongs to no head."""
    for kind, option in settings.items():
        try:
            KINDS[kind].apply(plan, option)
        except ValueError as error:
            raise ValueError(f'{kind}: {error}') from None
        plan.coupled[kind] = option


def _check_predictor(plan: ModelPlan, genotype: Genotype) -> None:
    """Refuse another width of the projector before a predictor that does not follow it."""
    predictor, width = plan.part('head').get('predictor'), genotype.settings('projector')
    if predictor is None or type_name(predictor) == 'HeadMLP' or 'out_channels' not in width:
        return
    if predictor.get('in_channels') != width['out_channels']:
        takes = f'{type_name(predictor)} takes {predictor.get("in_channels")} channels'
        raise ValueError(f'projector.out_channels is {width["out_channels"]}, but {takes}')
