# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""SwAV whose prototypes and queue stand still in the alpha step."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import torch
from mmengine.dist import get_world_size
from mmpretrain.models import SwAV as _SwAV
from mmpretrain.models import SwAVNeck as _SwAVNeck
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from nasiam_mm.models.algorithms.searched import Searched
from nasiam_mm.models.frameworks import Framework, projector, register_framework
from nasiam_mm.models.prototypes import SwAVLoss
from nasiam_mm.registry import MODELS


@MODELS.register_module()
class SwAVNeck(_SwAVNeck):
    """mmpretrain's SwAVNeck, which takes and gives a tuple, as all other necks do."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # It stands in projection_neck too, and would be saved twice.
        self._modules.pop('norm', None)

    def forward(self, x: Sequence[Tensor]) -> tuple[Tensor]:
        """Map the last of the inputs, (N, C_in, H, W) or (N, C_in), to a tuple of (N, C_out)."""
        # mmpretrain's own forgets the inputs that it need not average.
        pooled = self.avgpool(x[-1]) if self.with_avg_pool else x[-1]
        return (self.forward_projection(pooled.flatten(1)),)


@MODELS.register_module()
class SwAV(Searched, _SwAV):
    """mmpretrain's SwAV with a searchable head, for views of any number and sizes.

    `Unsupervised Learning of Visual Features by Contrasting Cluster Assignments
    <https://arxiv.org/abs/2006.09882>`_. As in its reference implementation the views of one size
    that follow each other are one batch to the backbone, and all views are one to the head. Its
    ``head.loss`` is our :class:`SwAVLoss`. Arguments: those of ``Searched`` and
    ``mmpretrain.models.SwAV``; ValueError for another loss.
    """

    as_wide = ('head.loss.feat_dim',)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(loss := self.head.loss_module, SwAVLoss):
            what = f'{type(loss).__module__}.{type(loss).__name__}'
            raise ValueError(f"SwAV computes no {what}; set model.head.loss.type='SwAVLoss'")

    @property
    def resting(self) -> tuple[nn.Parameter, ...]:
        """The prototypes, which ``PrototypesHook`` may hold still."""
        return (self.head.loss_module.prototypes.weight,)

    @property
    def watched(self) -> Mapping[str, Tensor]:
        """The prototypes, (K, D), beside z."""
        return {'prototypes': self.head.loss_module.prototypes.weight}

    def loss(self, inputs: list[Tensor], data_samples: Any, update_state: bool = True) -> dict:
        """Compute the mean swapped prediction of assignments (SwAV, eq. 1 and 6).

        ``inputs`` are views, each (N, 3, H, W); ``update_state`` brings the prototypes to unit norm
        first and fills the queue after. ValueError for a single image.
        """
        if len(inputs[0]) * get_world_size() < 2:
            what = 'SwAV needs two images: a single one is assigned to all prototypes alike'
            raise ValueError(f'{what}; enlarge batch_size')
        sizes = groupby(inputs, key=lambda view: view.shape[2:])
        features = [self.backbone(torch.cat([*views]))[-1] for _, views in sizes]
        # Maps of several sizes are one batch once they are averaged, which heads do once more.
        pooled = [adaptive_avg_pool2d(x, 1) if x.dim() == 4 else x for x in features]
        z = self.neck((torch.cat(pooled),))[0]  # VNxC
        return dict(loss=self.head.loss_module(z, len(inputs), update_state))


def _example(width: int) -> dict:
    loss = dict(type='SwAVLoss', feat_dim=32, num_prototypes=24, temperature=0.1, queue_len=8)
    return dict(type='SwAV', neck=projector(width, 32), head=dict(type='SwAVHead', loss=loss))


def _fit(model: dict, batch: int, images: int) -> None:
    """Leave each prototype ten images, and each image one place in the queue."""
    loss = model['head']['loss']
    loss['num_prototypes'] = min(loss['num_prototypes'], max(2, images // 10))
    loss['queue_len'] = min(loss['queue_len'], images)


_STANDARD = {'projector': ('linear_bn_relu',)}
register_framework(Framework('swav', 'SwAV', _example, _STANDARD, fit=_fit))
