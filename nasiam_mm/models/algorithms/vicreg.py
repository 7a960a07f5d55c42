# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""VICReg: variance, invariance and covariance over all processes' images."""

from typing import Any

from mmengine.model import BaseModule
from mmpretrain.models import BaseSelfSupervisor
from torch import Tensor
from torch.nn.functional import relu

from nasiam_mm.models.algorithms.searched import Searched
from nasiam_mm.models.frameworks import Framework, projector, register_framework
from nasiam_mm.models.losses import in_float32, lift, refuse_numbers
from nasiam_mm.models.processes import centre, joint_rows, total
from nasiam_mm.registry import MODELS


@MODELS.register_module()
class VICRegHead(BaseModule):
    """Loss of VICReg over the union of the processes' batches, in float32.

    ``invariance s(Z, Z') + variance (v(Z) + v(Z')) + covariance (c(Z) + c(Z'))`` (eq. 6), with s
    the mean of the squared differences over images and channels (algorithm 1; equation 5 sums over
    channels, which the weights are not for), v the mean over channels of
    ``max(0, gamma - sqrt(Var + eps))`` (eq. 1 and 2) and c the sum of the squared covariances of
    two channels by C (eq. 3 and 4). Variances and covariances are divided by N - 1. The authors'
    code halves v: that is ``variance=12.5`` here.

    Args:
        invariance: Weight of s, lambda of the paper.
        variance: Weight of v, mu.
        covariance: Weight of c, nu.
        gamma: Standard deviation from which v is content.
        eps: Added to the variances.
    """

    def __init__(
        self,
        invariance: float = 25.0,
        variance: float = 25.0,
        covariance: float = 1.0,
        gamma: float = 1.0,
        eps: float = 1e-4,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        weights = dict(invariance=invariance, variance=variance, covariance=covariance)
        refuse_numbers('VICRegHead', False, **weights, gamma=gamma)
        # At eps 0 the root of a variance of 0 has no gradient.
        refuse_numbers('VICRegHead', positive=True, eps=eps)
        if not any(weights.values()):
            raise ValueError(f'VICRegHead: all of {", ".join(weights)} are 0; give one a weight')
        self.weights, self.gamma, self.eps = weights, gamma, eps

    def loss(self, input: Tensor, target: Tensor) -> Tensor:
        """Map z of two views, (N, C) each, to the loss, (); ValueError for a single image."""
        with in_float32(input):
            z1, z2 = lift(input), lift(target)
            squared = total((z1 - z2).square().sum())
            invariance = squared / (joint_rows(z1) * z1.shape[1])
            (v1, c1), (v2, c2) = self.spread(z1), self.spread(z2)
            return (
                self.weights['invariance'] * invariance
                + self.weights['variance'] * (v1 + v2)
                + self.weights['covariance'] * (c1 + c2)
            )

    def spread(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return v and c, () each, of z, (N, C)."""
        z = centre(z)
        covariances = total(z.T @ z) / (joint_rows(z) - 1)  # CxC, symmetric
        deviations = (covariances.diagonal() + self.eps).sqrt()
        variance = relu(self.gamma - deviations).mean()
        return variance, 2 * covariances.triu(1).square().sum() / z.shape[1]


@MODELS.register_module()
class VICReg(Searched, BaseSelfSupervisor):
    """VICReg with a searchable expander, which is called the projector here; it has no state.

    `VICReg: Variance-Invariance-Covariance Regularization for Self-Supervised Learning
    <https://arxiv.org/abs/2105.04906>`_. BatchNorm sees each view on its own, as in the authors'
    code. Arguments: those of ``Searched`` and mmpretrain's ``BaseSelfSupervisor``.
    """

    num_views = 2

    def loss(self, inputs: list[Tensor], data_samples: Any, update_state: bool = True) -> dict:
        """Compute the head's loss of two views, each (N, 3, H, W)."""
        z1, z2 = (self.neck(self.backbone(view))[0] for view in inputs)  # NxC
        return dict(loss=self.head.loss(z1, z2))


def _example(width: int) -> dict:
    return dict(
        type='VICReg', neck=projector(width, 32, with_last_bias=False), head=dict(type='VICRegHead')
    )


_STANDARD = {'projector': ('linear_bn_relu', 'linear_bn_relu')}
register_framework(Framework('vicreg', 'VICReg', _example, _STANDARD))
