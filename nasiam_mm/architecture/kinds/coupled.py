# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What is decided together with a head and belongs to none: temperature, the predictor's rate."""

from collections.abc import Mapping

from nasiam_mm.architecture.kinds.kind import Kind, Options, positive, register_kind
from nasiam_mm.architecture.plan import ModelPlan
from nasiam_mm.config_walk import type_name


def set_temperature(plan: ModelPlan, temperature: float) -> ModelPlan:
    """Set the temperature of a loss (SimCLR, eq. 1; MoCo, eq. 1; SwAV, eq. 2)."""
    head = plan.part('head')
    loss = head.get('loss')
    # The head's own, or that of its loss.
    if 'temperature' in head or type_name(head) == 'ContrastiveHead':
        plan.parts['head'] = {**head, 'temperature': temperature}
    elif isinstance(loss, Mapping) and 'temperature' in loss:
        plan.parts['head'] = {**head, 'loss': {**loss, 'temperature': temperature}}
    else:
        raise ValueError(f'{plan.algorithm} has no temperature; take the choice away')
    return plan


def scale_predictor_rate(plan: ModelPlan, factor: float) -> ModelPlan:
    """Multiply the learning rate of the predictor's weights, a fixed one too."""
    if not isinstance(plan.part('head').get('predictor'), Mapping):
        raise ValueError(f'{plan.algorithm} has no predictor; take the choice away')
    plan.lr_factors['head.predictor'] = factor
    return plan


def _no_predictor(decided: Options, head: str) -> str:
    return "predictor.form is 'none'" if decided.get('predictor.form') == 'none' else ''


register_kind(Kind('temperature', 'model', positive(100), set_temperature))
register_kind(
    Kind('predictor_lr', 'model', positive(1000), scale_predictor_rate, idle=_no_predictor)
)
