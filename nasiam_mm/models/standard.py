# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The standard head of a framework, read off its baseline's config, as options of choices."""

from collections.abc import Mapping

from nasiam_mm.architecture.choice import Choices
from nasiam_mm.architecture.genotype import Decision, Genotype
from nasiam_mm.architecture.kinds.kind import Option
from nasiam_mm.architecture.points import genotype_at
from nasiam_mm.config_walk import type_name


def standard_options(baseline: Mapping, recipe: Mapping) -> dict[str, Option]:
    """Say by name -> option what makes the head of a recipe the standard one of its baseline.

    A head of these decisions is the baseline's function of the same weights, and holds the same
    weights but for biases before a BatchNorm (BYOL's), which takes them away.

    Args:
        baseline: Config of a model with mmpretrain's ``NonLinearNeck``, ``MoCoV2Neck`` or
            ``SwAVNeck``.
        recipe: Config of the same framework's model with a ``HeadMLP`` in their place.

    Raises:
        ValueError: If the baseline's head is of another form.
    """
    options: dict[str, Option] = {}
    parts = {'projector': (baseline['neck'], recipe['neck'])}
    if 'predictor' in baseline['head']:
        parts['predictor'] = baseline['head']['predictor'], recipe['head']['predictor']
        options['predictor.form'] = 'mlp'
    for name, (theirs, ours) in parts.items():
        kind = type_name(theirs)
        if kind not in ('NonLinearNeck', 'MoCoV2Neck', 'SwAVNeck'):
            raise ValueError(f'the {name} of the baseline is a {kind}, which no choices describe')
        ratio = theirs['hid_channels'] / ours['hidden_channels']
        has_norm = kind != 'MoCoV2Neck'
        options |= {
            f'{name}.depth': theirs.get('num_layers', 2),
            f'{name}.width_ratio': int(ratio) if ratio.is_integer() else ratio,
            f'{name}.hidden_norm': 'bn' if has_norm else 'none',
            f'{name}.activation': 'relu',
        }
        if name == 'projector':
            norm = 'bn' if theirs.get('with_last_bn_affine', True) else 'bn_no_affine'
            last = kind == 'NonLinearNeck' and theirs.get('with_last_bn', True)
            options[f'{name}.output_norm'] = norm if last else 'none'
            options[f'{name}.out_channels'] = theirs['out_channels']
    for owner in (baseline['head'], baseline['head'].get('loss', {})):
        if 'temperature' in owner:
            options['temperature'] = owner['temperature']
    return options | ({'predictor_lr': 1} if 'predictor' in parts else {})


def standard_genotype(
    baseline: Mapping, recipe: Mapping, choices: Choices | None = None
) -> Genotype:
    """Return the standard head as a genotype, in a space if one is given.

    Arguments and ValueError as of :func:`standard_options`; what the space does not decide is left
    to the recipe. GenotypeError if the space does not hold it.
    """
    options, told = standard_options(baseline, recipe), {'selection': 'standard'}
    if choices is None:
        decisions = {name: Decision((option,), (option,)) for name, option in options.items()}
        return Genotype(recipe['type'], decisions, told)
    names = {choice.name for layers in choices.values() for choice in layers}
    within = {name: option for name, option in options.items() if name in names}
    return genotype_at(recipe['type'], choices, within, told)
