# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Features less their mean, in which what float32 does not tell from a constant is one."""

from torch import Tensor

ROUNDING = 2.0**-20  # of float32's 2**-23, and a few such roundings


def centred(features: Tensor) -> Tensor:
    """Subtract the mean of each column from float64 features, (N, D).

    A column that strays from its mean by no more than 2**-20 of its largest entry becomes 0:
    backbones compute in float32, and the rounding of a constant feature is no information, which
    a measure that ignores scale would blow up to some.
    """
    less = features - features.mean(0)
    return less.where(less.abs().amax(0) > ROUNDING * features.abs().amax(0), 0)
