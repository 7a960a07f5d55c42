# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Barlow Twins, its correlation that of all processes' images."""

from mmengine.model import BaseModule
from mmpretrain.models import BarlowTwins as _BarlowTwins
from torch import Tensor

from nasiam_mm.models.algorithms.searched import Searched
from nasiam_mm.models.frameworks import Framework, projector, register_framework
from nasiam_mm.models.losses import in_float32, lift, refuse_numbers
from nasiam_mm.models.processes import joint_rows, standardise, total
from nasiam_mm.registry import MODELS


@MODELS.register_module()
class LatentCrossCorrelationHead(BaseModule):
    """Loss of the cross-correlation of two views over the union of the processes' batches.

    On one process it is mmpretrain's head. That one normalises each process's own part where no
    SyncBatchNorm exists, sums the matrix over processes without the gradient of the sum, so that W
    of them step with one W-th of it, and multiplies in what autocast takes. This one is float32,
    exact, and keeps no running statistics, which nothing reads; so z may have any width.

    Args:
        loss: Config of the loss of the matrix, mmpretrain's ``CrossCorrelationLoss``.
        in_channels: Width that z must have, as mmpretrain's configs say it; None for any.
        eps: Added to the variances, as BatchNorm does in the authors' code.

    A number that cannot be is a ValueError.
    """

    def __init__(
        self,
        loss: dict,
        in_channels: int | None = None,
        eps: float = 1e-5,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        refuse_numbers('LatentCrossCorrelationHead', eps=eps)
        self.loss_module = MODELS.build(loss)
        # At 0 nothing leads out of channels that all say the same, below it the loss has no end.
        refuse_numbers(type(self.loss_module).__name__, lambd=getattr(self.loss_module, 'lambd', 0))
        self.in_channels, self.eps = in_channels, eps

    def loss(self, input: Tensor, target: Tensor) -> Tensor:
        """Map z of two views, (N, C) each, to the loss, () (Barlow Twins, eq. 1 and 2).

        ValueError if z is not ``in_channels`` wide, or there is but one image.
        """
        if self.in_channels not in (None, input.shape[1]):
            given = f'LatentCrossCorrelationHead.in_channels is {self.in_channels}'
            raise ValueError(f'{given}, but z has {input.shape[1]} channels; leave it out')
        with in_float32(input):
            first, second = (standardise(lift(z), self.eps) for z in (input, target))
            correlation = total(first.T @ second) / joint_rows(input)  # CxC
            return self.loss_module(correlation)


@MODELS.register_module()
class BarlowTwins(Searched, _BarlowTwins):
    """mmpretrain's Barlow Twins with a searchable projector; it has no state.

    `Barlow Twins: Self-Supervised Learning via Redundancy Reduction
    <https://arxiv.org/abs/2103.03230>`_. BatchNorm sees each view on its own, as in the authors'
    code. Arguments: those of ``Searched`` and ``mmpretrain.models.BarlowTwins``.
    """

    num_views = 2


def _example(width: int) -> dict:
    head = dict(type='LatentCrossCorrelationHead', loss=dict(type='CrossCorrelationLoss'))
    return dict(type='BarlowTwins', neck=projector(width, 32, with_last_bias=False), head=head)


_STANDARD = {'projector': ('linear_bn_relu', 'linear_bn_relu')}
register_framework(
    Framework('barlowtwins', 'BarlowTwins', _example, _STANDARD, title='Barlow Twins')
)
