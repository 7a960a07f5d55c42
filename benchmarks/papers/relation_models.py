# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""SimCLR and SwAV with parts of SimSiam (SimSiam, section 6.2), in one process, as tables train.

Shapes: N images, C width of the projection, V views, K prototypes.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, normalize

from nasiam_mm.models.algorithms.simclr import SimCLR
from nasiam_mm.models.losses import in_float32, lift
from nasiam_mm.models.prototypes import SwAVLoss, sinkhorn
from nasiam_mm.registry import MODELS


@MODELS.register_module()
class RelatedSimCLR(SimCLR):
    """SimCLR with a predictor on one branch and, where asked, no gradient through the other.

    The loss is ``(L(p1, z2) + L(p2, z1)) / 2``, L being NT-Xent.

    Args:
        predictor: Config of the predictor h.
        stop_gradient: Whether the projections count as constants.
        **kwargs: See ``SimCLR``.
    """

    def __init__(self, predictor: dict, stop_gradient: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.predictor = MODELS.build(predictor)
        self.stop_gradient = stop_gradient

    def loss(self, inputs: list[Tensor], data_samples: Any, update_state: bool = True) -> dict:
        """Contrast predictions of each view, (N, 3, H, W), with projections of the other."""
        batches = [torch.cat(inputs)] if self.joint_bn else inputs
        z = torch.cat([self.neck(self.backbone(batch))[0] for batch in batches])  # 2NxC
        p = self.predictor([z])[0]
        with in_float32(z):
            (z1, z2), (p1, p2) = (normalize(lift(x), dim=1).chunk(2) for x in (z, p))
            if self.stop_gradient:
                z1, z2 = z1.detach(), z2.detach()
            losses = self._nt_xent(torch.cat([p1, z2])), self._nt_xent(torch.cat([p2, z1]))
            return dict(loss=0.5 * sum(losses))


@MODELS.register_module()
class RelatedSwAVLoss(SwAVLoss):
    """SwAV's loss with a predictor, or with the gradient through the assignments.

    Prototypes are brought to unit norm within the gradient, as there, and there is no queue.

    Args:
        predictor: Config of the predictor h of what is compared with an assignment; None for none.
        stop_gradient: Whether assignments count as constants.
        **kwargs: See ``SwAVLoss``.
    """

    def __init__(
        self, predictor: dict | None = None, stop_gradient: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if self.queue is not None:
            raise ValueError('RelatedSwAVLoss has no queue; set model.head.loss.queue_len=0')
        self.predictor = None if predictor is None else MODELS.build(predictor)
        self.stop_gradient = stop_gradient

    def forward(self, z: Tensor, num_views: int, update_state: bool = True) -> Tensor:
        """Return the loss, (), of projections (V * N, C), view after view."""
        p = z if self.predictor is None else self.predictor([z])[0]
        with in_float32(z):
            weight = normalize(lift(self.prototypes.weight), dim=1)
            scores, predicted = (
                (normalize(lift(x), dim=1) @ weight.T).unflatten(0, (num_views, -1)) for x in (z, p)
            )  # VxNxK
            logs = log_softmax(predicted / self.temperature, dim=2)
            mass = scores.new_zeros(scores.shape[1])
            total = z.new_zeros(())
            for crop in self.crops:
                q = sinkhorn(scores[crop], self.epsilon, self.iterations, mass)
                q = q.detach() if self.stop_gradient else q
                others = sum(logs[view] for view in range(num_views) if view != crop)
                total = total - (q * others).sum(1).mean() / (num_views - 1)
        return total / len(self.crops)
