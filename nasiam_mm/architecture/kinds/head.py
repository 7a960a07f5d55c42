# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What may be decided of a head: operations, depth, widths, normalisations, activation, form.

Where the depth is decided, or no operation is, a head is an MLP as papers count it: ``depth``
linear layers; behind all but the last a normalisation and an activation, behind the last an output
normalisation.
"""

from dataclasses import replace

from nasiam_mm.architecture.kinds.kind import (
    Kind,
    Options,
    one_of,
    positive,
    register_kind,
    whole,
)
from nasiam_mm.architecture.plan import ACTIVATIONS, NORMS, HeadPlan
from nasiam_mm.ops.candidates import CANDIDATE_OPS, MAX_WIDTH

FORMS = ('none', 'linear', 'mlp')
MAX_DEPTH = 32
_MULTIPLE = 8  # of hidden widths: what matrix units of accelerators take whole


def without_form(decided: Options, head: str) -> str:
    """Say why nothing within an MLP counts: the head is none."""
    form = decided.get(f'{head}.form', 'mlp')
    return '' if form == 'mlp' else f"{head}.form is '{form}'"


def without_hidden(decided: Options, head: str) -> str:
    """Say why nothing of hidden layers counts: the head has none."""
    shallow = f'{head}.depth is 1' if decided.get(f'{head}.depth') == 1 else ''
    return without_form(decided, head) or shallow


def without_plain_layers(decided: Options, head: str) -> str:
    """Say why no normalisation or activation counts: operations bring their own."""
    ops = sum(name.startswith(f'{head}.') and name.endswith('.op') for name in decided)
    depth = decided.get(f'{head}.depth')
    # Operations without a depth are the whole cell.
    whole_cell = ops and (not isinstance(depth, int) or ops >= depth - 1)
    why = f'operations are decided at all hidden layers of the {head}'
    return without_hidden(decided, head) or (why if whole_cell else '')


def scale_width(plan: HeadPlan, ratio: float) -> HeadPlan:
    """Scale the hidden width of the recipe, to a multiple of 8 of at least 8.

    The ratio 1 is the width of the recipe, whatever it is.
    """
    if ratio == 1:
        return plan
    width = max(1, round(ratio * plan.hidden_channels / _MULTIPLE)) * _MULTIPLE
    return replace(plan, hidden_channels=width)


register_kind(
    Kind('op', 'layer', one_of(CANDIDATE_OPS.module_dict), lambda plan, _: plan, owner='any')
)
register_kind(
    Kind('form', 'head', one_of(FORMS), lambda p, form: replace(p, form=form), only='predictor')
)
register_kind(
    Kind(
        'depth', 'head', whole(1, MAX_DEPTH),
        lambda plan, depth: replace(plan, depth=depth), without_form,
    )
)  # fmt: skip
register_kind(Kind('width_ratio', 'head', positive(64), scale_width, without_hidden))
register_kind(
    Kind(
        'out_channels', 'head', whole(1, MAX_WIDTH),
        lambda plan, width: replace(plan, out_channels=width),
        # A predictor predicts what the projector gives.
        never='predictor',
        follow=lambda plan, width: replace(plan, in_channels=width, out_channels=width),
    )
)  # fmt: skip
register_kind(
    Kind(
        'hidden_norm', 'head', one_of(NORMS),
        lambda plan, norm: replace(plan, hidden_norm=norm), without_plain_layers,
    )
)  # fmt: skip
register_kind(
    Kind(
        'activation', 'head', one_of(ACTIVATIONS),
        lambda plan, activation: replace(plan, activation=activation), without_plain_layers,
    )
)  # fmt: skip
register_kind(
    Kind(
        'output_norm', 'head', one_of(NORMS),
        # BatchNorm behind a predictor makes training unstable (SimSiam, section 4.4).
        lambda plan, norm: replace(plan, output_norm=norm), never='predictor',
    )
)  # fmt: skip
