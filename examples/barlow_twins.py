"""A framework of your own: Barlow Twins from mmpretrain, with a projector to search."""

from mmpretrain.models import BarlowTwins as _BarlowTwins

from nasiam_mm.models import Searched
from nasiam_mm.models.frameworks import Framework, projector, register_framework
from nasiam_mm.registry import MODELS


@MODELS.register_module()
class BarlowTwins(Searched, _BarlowTwins):
    """`Barlow Twins <https://arxiv.org/abs/2103.03230>`_ with a searchable projector."""

    compilable = ('backbone', 'neck')


def example(width: int) -> dict:
    """Return a small model of the framework for features of a width."""
    loss = dict(type='CrossCorrelationLoss')
    head = dict(type='LatentCrossCorrelationHead', in_channels=32, loss=loss)
    return dict(type='BarlowTwins', neck=projector(width, 32), head=head)


STANDARD = {'projector': ('linear_bn_relu', 'linear_bn_relu')}
register_framework(Framework('barlowtwins', 'BarlowTwins', example, STANDARD))
