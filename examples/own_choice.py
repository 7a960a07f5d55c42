"""A choice of your own: an entry that says what an option may be and what it does, and no more."""

from dataclasses import replace

from torch import nn

from nasiam_mm.architecture.kinds.kind import Kind, positive, register_kind
from nasiam_mm.architecture.plan import HeadPlan


def drop_behind_hidden(plan: HeadPlan, rate: float) -> HeadPlan:
    """Put dropout behind the hidden layers of a head."""
    return replace(plan, behind_hidden=(*plan.behind_hidden, lambda width: nn.Dropout(rate)))


register_kind(Kind('dropout', 'head', positive(0.9), drop_behind_hidden))
