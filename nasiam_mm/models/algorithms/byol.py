# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""BYOL whose target stands still in the alpha step."""

from typing import Any

import torch
from mmpretrain.models import BYOL as _BYOL
from torch import Tensor

from nasiam_mm.models.algorithms.momentum import HostNumber, update_average
from nasiam_mm.models.algorithms.searched import Searched
from nasiam_mm.models.frameworks import Framework, predictor_head, projector, register_framework
from nasiam_mm.registry import MODELS


@MODELS.register_module()
class BYOL(Searched, _BYOL):
    """mmpretrain's BYOL with a searchable head.

    `Bootstrap Your Own Latent <https://arxiv.org/abs/2006.07733>`_. The target mixes with the
    online alpha of the moment; its weights follow by moving average, with the momentum schedule
    counting weight steps alone. Arguments: those of ``Searched`` and ``mmpretrain.models.BYOL``.
    """

    num_views = 2
    _target = ('target_net.module.0', 'target_net.module.1')
    compilable = (*Searched.compilable, 'head.predictor', *_target)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._steps = HostNumber()

    def loss(self, inputs: list[Tensor], data_samples: Any, update_state: bool = True) -> dict:
        """Compute ``2 * (D(q1, z2') + D(q2, z1'))``, D the negative cosine (BYOL, eq. 2).

        It equals the paper's squared distance of normalised vectors up to a constant. ``inputs``
        are two views, each (N, 3, H, W); ``update_state`` moves the target first.
        """
        view1, view2 = inputs
        projection1 = self.neck(self.backbone(view1))[0]  # NxC
        projection2 = self.neck(self.backbone(view2))[0]  # NxC
        with torch.no_grad():
            if update_state:
                update_average(*self.momentum_pairs()[0], self._steps)
            target1 = self.target_net(view1)[0]  # NxC
            target2 = self.target_net(view2)[0]  # NxC
        loss1 = self.head.loss(projection1, target2)
        loss2 = self.head.loss(projection2, target1)
        return dict(loss=2.0 * (loss1 + loss2))


def _example(width: int) -> dict:
    neck, head = projector(width, 32), predictor_head(32, 64)
    return dict(type='BYOL', base_momentum=0.01, neck=neck, head=head)


_STANDARD = {'projector': ('linear_bn_relu',), 'predictor': ('linear_bn_relu', 'identity')}
register_framework(Framework('byol', 'BYOL', _example, _STANDARD))
