# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""SimSiam with a searchable head."""

from mmpretrain.models import SimSiam as _SimSiam

from nasiam_mm.models.algorithms.searched import Searched
from nasiam_mm.models.frameworks import Framework, predictor_head, projector, register_framework
from nasiam_mm.registry import MODELS


@MODELS.register_module()
class SimSiam(Searched, _SimSiam):
    """mmpretrain's SimSiam with a searchable head; its loss (SimSiam, eq. 2) has no state.

    `Exploring Simple Siamese Representation Learning <https://arxiv.org/abs/2011.10566>`_.
    Arguments: those of ``Searched`` and ``mmpretrain.models.SimSiam``.
    """

    num_views = 2
    compilable = (*Searched.compilable, 'head.predictor')


def _example(width: int) -> dict:
    neck = projector(width, 32, with_last_bn=True, with_last_bn_affine=False)
    return dict(type='SimSiam', neck=neck, head=predictor_head(32, 16))


_STANDARD = {'projector': ('linear_bn_relu',), 'predictor': ('linear_bn_relu', 'identity')}
register_framework(Framework('simsiam', 'SimSiam', _example, _STANDARD))
