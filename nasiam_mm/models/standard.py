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
            ``SwAVNeck``, or ``LinearNeck`` without normalisation.
        recipe: Config of the same framework's model with a ``HeadMLP`` in their place.

    Raises:
        ValueError: If the baseline's head is of another form, or the recipe's has no choices.
    """
    options: dict[str, Option] = {}
    parts = {'projector': (baseline['neck'], recipe['neck'])}
    if 'predictor' in baseline['head']:
        parts['predictor'] = baseline['head']['predictor'], recipe['head']['predictor']
        options['predictor.form'] = 'mlp'
    for name, (theirs, ours) in parts.items():
        kind = type_name(theirs)
        if type_name(ours) != 'HeadMLP':
            raise ValueError(
                f'the {name} of the recipe is a {type_name(ours)}, which has no choices'
            )
        if kind == 'LinearNeck' and name == 'projector' and not theirs.get('norm_cfg', True):
            linear = dict(depth=1, output_norm='none', out_channels=theirs['out_channels'])
            options |= {f'{name}.{what}': option for what, option in linear.items()}
            continue
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
        norm = 'bn' if theirs.get('with_last_bn_affine', True) else 'bn_no_affine'
        has_last = kind == 'NonLinearNeck' and theirs.get('with_last_bn', True)
        output_norm = norm if has_last else 'none'
        if name == 'projector':
            options[f'{name}.output_norm'] = output_norm
            options[f'{name}.out_channels'] = theirs['out_channels']
        elif output_norm != _output_norm(ours):
            told = f'ends in norm {output_norm}, the recipe in {_output_norm(ours)}'
            raise ValueError(f'the {name} of the baseline {told}; no choice decides that')
    for owner in (baseline['head'], baseline['head'].get('loss', {})):
        if 'temperature' in owner:
            options['temperature'] = owner['temperature']
    return options | ({'predictor_lr': 1} if 'predictor' in parts else {})


def _output_norm(head: Mapping) -> str:
    """Return what follows the output layer of a ``HeadMLP``'s config, see ``NORMS``."""
    if not head.get('with_last_bn', False):
        return 'none'
    return 'bn' if head.get('with_last_bn_affine', True) else 'bn_no_affine'


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
