# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A framework of one's own: Barlow Twins of mmpretrain with a head to search.

`Barlow Twins <https://arxiv.org/abs/2103.03230>`_. Name the file in the
recipe's ``custom_imports``.
"""

from mmpretrain.models import BarlowTwins as _BarlowTwins

from nasiam_mm.models.algorithms import Searched
from nasiam_mm.models.frameworks import Framework, projector, register_framework
from nasiam_mm.registry import MODELS


@MODELS.register_module(force=True)
class BarlowTwins(Searched, _BarlowTwins):
    """mmpretrain's Barlow Twins with a searchable head."""


def _example(width: int) -> dict:
    loss = dict(type='CrossCorrelationLoss')
    head = dict(type='LatentCrossCorrelationHead', in_channels=32, loss=loss)
    return dict(type='BarlowTwins', neck=projector(width, 32), head=head)


register_framework(
    Framework('barlowtwins', 'BarlowTwins', _example, {'projector': ('linear_bn_relu',) * 2})
)
