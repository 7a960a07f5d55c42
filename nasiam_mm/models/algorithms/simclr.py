# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""SimCLR with the exact gradient over processes and a choice of BatchNorm batch."""

from typing import Any

import torch
from mmengine.dist import get_world_size
from mmpretrain.models import SimCLR as _SimCLR
from torch import Tensor
from torch.distributed.nn.functional import all_gather
from torch.nn.functional import normalize

from nasiam_mm.models.algorithms.searched import Searched
from nasiam_mm.models.frameworks import Framework, projector, register_framework
from nasiam_mm.models.losses import in_float32, lift
from nasiam_mm.registry import MODELS


@MODELS.register_module()
class SimCLR(Searched, _SimCLR):
    """mmpretrain's SimCLR, with negatives gathered with their gradients.

    `A Simple Framework for Contrastive Learning of Visual Representations
    <https://arxiv.org/abs/2002.05709>`_. mmpretrain's gathering keeps the gradient of a process's
    own loss alone, so that W processes step with one W-th of the gradient; this returns the whole.
    With ``joint_bn`` BatchNorm sees both views as one batch (the paper's reference implementation),
    otherwise each on its own. More arguments: ``Searched`` and ``mmpretrain.models.SimCLR``.
    """

    num_views = 2

    def __init__(self, joint_bn: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.joint_bn = joint_bn

    def loss(self, inputs: list[Tensor], data_samples: Any, update_state: bool = True) -> dict:
        """NT-Xent over the union of the processes' batches (SimCLR, eq. 1); it has no state.

        ``inputs`` are two views, each (N, 3, H, W).
        """
        batches = [torch.cat(inputs)] if self.joint_bn else inputs
        z = torch.cat([self.neck(self.backbone(batch))[0] for batch in batches])  # 2NxC
        with in_float32(z):
            z1, z2 = normalize(lift(z), dim=1).chunk(2)
            if get_world_size() > 1:
                z1, z2 = torch.cat(all_gather(z1)), torch.cat(all_gather(z2))
            return dict(loss=self._nt_xent(torch.cat([z1, z2])))

    def _nt_xent(self, z: Tensor) -> Tensor:
        """Contrast normalised embeddings, (2N, C), of which i and i + N are views of an image."""
        count = len(z)
        if count < 4:
            raise ValueError('NT-Xent needs two images: a single one has no negatives')
        similarity = z @ z.T  # 2Nx2N
        row = torch.arange(count, device=z.device)
        partner = (row + count // 2) % count
        # All columns but the row's own and its partner's, without a mask that a GPU is waited for.
        other = torch.arange(count - 2, device=z.device).expand(count, -1)
        other = other + (other >= torch.minimum(row, partner)[:, None])
        other = other + (other >= torch.maximum(row, partner)[:, None])
        positive = similarity.gather(1, partner[:, None])  # 2Nx1
        return self.head.loss(positive, similarity.gather(1, other))  # 2Nx(2N-2) negatives


def _example(width: int) -> dict:
    head = dict(type='ContrastiveHead', loss=dict(type='CrossEntropyLoss'), temperature=0.2)
    return dict(type='SimCLR', neck=projector(width, 32), head=head)


register_framework(Framework('simclr', 'SimCLR', _example, {'projector': ('linear_bn_relu',)}))
