# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""From a plan of a head to its hidden layers and its output."""

from collections.abc import Mapping
from dataclasses import replace

from torch import nn

from nasiam_mm.architecture.genotype import Genotype, GenotypeError
from nasiam_mm.architecture.kinds.kind import KINDS, Option
from nasiam_mm.architecture.plan import ACTIVATIONS, CENTRING, NORMS, HeadPlan, LayerBuilder
from nasiam_mm.ops.candidates import MAX_WIDTH, LayerShape, layer_shapes

STANDARD_DEPTH = 2  # of the papers' heads, where neither depth nor operations are decided


def recipe_plan(
    name: str,
    in_channels: int,
    hidden_channels: int,
    cell_channels: int | None,
    out_channels: int | None,
    output_norm: str,
    output_bias: bool = True,
) -> HeadPlan:
    """Return what a recipe says of a head, by the arguments of its ``HeadMLP``.

    ValueError if a width is no positive integer.
    """
    given = [width for width in (out_channels, cell_channels) if width is not None]
    last = given[0] if given else hidden_channels
    layer_shapes(in_channels, [hidden_channels, last])
    plan = HeadPlan(name, in_channels, hidden_channels, last)
    return replace(plan, output_norm=output_norm, output_bias=output_bias)


def decide(
    plan: HeadPlan, settings: Mapping[str, Option], before: Mapping[str, Option] = {}
) -> HeadPlan:
    """Apply to a recipe's plan what was decided of a head.

    Args:
        plan: As the recipe says.
        settings: Kind of choice -> option, of this head.
        before: The same of the projector, where this is a predictor behind it.
    """
    for name, kind in KINDS.items():
        if name in settings:
            plan = kind.apply(plan, settings[name])
        elif name in before and kind.follow is not None:
            plan = kind.follow(plan, before[name])
    return plan


def decide_by_genotype(plan: HeadPlan, genotype: Genotype) -> HeadPlan:
    """Apply to a recipe's plan what a genotype decides of its head.

    Raises:
        GenotypeError: If the options do not fit the recipe or each other.
    """
    before = genotype.settings('projector') if plan.name == 'predictor' else {}
    plan = decide(plan, genotype.settings(plan.name), before)
    if plan.depth is None and not genotype.of(plan.name):
        plan = replace(plan, depth=STANDARD_DEPTH)
    return check(plan)


def check(plan: HeadPlan) -> HeadPlan:
    """Return a plan that can be built, its form as depth; GenotypeError if there is none."""
    if plan.hidden_channels > MAX_WIDTH:
        wide = f'{plan.hidden_channels} channels; there are at most {MAX_WIDTH}'
        raise GenotypeError(f'{plan.name}.width_ratio makes hidden layers of {wide}')
    if plan.form == 'linear':
        return replace(plan, depth=1)
    if plan.form == 'none' and plan.in_channels != plan.out_channels:
        widths = f'{plan.in_channels} in and {plan.out_channels} out'
        raise GenotypeError(f'{plan.name}.form none leaves z as it is, but the recipe has {widths}')
    return replace(plan, depth=0) if plan.form == 'none' else plan


def hidden_shapes(plan: HeadPlan) -> tuple[LayerShape, ...]:
    """Widths of the hidden layers of a plan with a depth."""
    hidden = [plan.hidden_channels] * ((plan.depth or 0) - 1)
    return layer_shapes(plan.in_channels, hidden) if hidden else ()


def hidden_layer(plan: HeadPlan, shape: LayerShape) -> nn.Sequential:
    """Build a hidden layer whose operation is not decided: linear, normalisation, activation."""
    behind = (lambda width: ACTIVATIONS[plan.activation](), *plan.behind_hidden)
    return _linear(shape.in_channels, shape.out_channels, plan.hidden_norm, behind)


def output_layer(plan: HeadPlan, in_channels: int) -> nn.Sequential:
    """Build the last layer, linear with what follows; of the form none, what follows alone."""
    if plan.form == 'none':
        return nn.Sequential(*(build(plan.out_channels) for build in plan.behind_output))
    has_bias, behind = plan.output_bias, plan.behind_output
    return _linear(in_channels, plan.out_channels, plan.output_norm, behind, has_bias)


def _linear(
    in_channels: int,
    out_channels: int,
    norm: str,
    behind: tuple[LayerBuilder, ...],
    has_bias: bool = True,
) -> nn.Sequential:
    # BatchNorm's own centring stands in for the bias.
    has_bias = has_bias and norm not in CENTRING
    layers: list[nn.Module] = [nn.Linear(in_channels, out_channels, bias=has_bias)]
    if (build := NORMS[norm]) is not None:
        layers.append(build(out_channels))
    return nn.Sequential(*layers, *(build(out_channels) for build in behind))
