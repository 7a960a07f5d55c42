# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The frameworks as lightly's documentation builds them, at the widths of our configs.

Backbone: ``ResNetGenerator('resnet-18')``, its CIFAR ResNet. lightly is asked
for only when a model is built.
"""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


def lightly_model(framework: str, cfg: Mapping[str, Any]) -> nn.Module:
    """Build the module that turns two views, each (N, 3, H, W), into the loss, ().

    Args:
        framework: ``'simsiam'``, ``'simclr'``, ``'mocov2'`` or ``'byol'``.
        cfg: Model config whose widths, temperature and queue are taken over.
    """
    models = {'simsiam': _SimSiam, 'simclr': _SimCLR, 'mocov2': _MoCo, 'byol': _BYOL}
    return models[framework](cfg)


class _Encoder(nn.Module):
    """Backbone and projector."""

    def __init__(self, cfg: Mapping[str, Any]) -> None:
        super().__init__()
        from lightly.models import ResNetGenerator

        width = cfg['backbone'].get('base_channels', 64) / 64
        layers = list(ResNetGenerator('resnet-18', width=width).children())[:-1]
        self.backbone = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1))

    def forward(self, view: Tensor) -> Tensor:
        return self.projector(self.backbone(view).flatten(1))


def _widths(cfg: Mapping[str, Any]) -> tuple[int, int, int]:
    return cfg['in_channels'], cfg['hid_channels'], cfg['out_channels']


class _SimSiam(_Encoder):
    def __init__(self, cfg: Mapping[str, Any]) -> None:
        super().__init__(cfg)
        from lightly.loss import NegativeCosineSimilarity
        from lightly.models.modules import heads

        inner, hidden, outer = _widths(cfg['neck'])
        # Two layers, as lightly's own CIFAR-10 benchmark has it.
        self.projector = heads.ProjectionHead(
            [
                (inner, hidden, nn.BatchNorm1d(hidden), nn.ReLU()),
                (hidden, outer, nn.BatchNorm1d(outer, affine=False), None),
            ]
        )
        self.predictor = heads.SimSiamPredictionHead(*_widths(cfg['head']['predictor']))
        self.criterion = NegativeCosineSimilarity()

    def forward(self, view1: Tensor, view2: Tensor) -> Tensor:
        z1, z2 = super().forward(view1), super().forward(view2)
        p1, p2 = self.predictor(z1), self.predictor(z2)
        return 0.5 * (self.criterion(p1, z2.detach()) + self.criterion(p2, z1.detach()))


class _SimCLR(_Encoder):
    def __init__(self, cfg: Mapping[str, Any]) -> None:
        super().__init__(cfg)
        from lightly.loss import NTXentLoss
        from lightly.models.modules import heads

        self.projector = heads.SimCLRProjectionHead(*_widths(cfg['neck']))
        self.criterion = NTXentLoss(temperature=cfg['head']['temperature'])

    def forward(self, view1: Tensor, view2: Tensor) -> Tensor:
        return self.criterion(super().forward(view1), super().forward(view2))


class _Momentum(_Encoder):
    """An encoder and its moving average."""

    def follow(self, momentum: float) -> None:
        """Make the average once the projector is there."""
        from lightly.models.utils import deactivate_requires_grad

        self.averaged = nn.ModuleList([copy.deepcopy(self.backbone), copy.deepcopy(self.projector)])
        deactivate_requires_grad(self.averaged)
        self.momentum = 1 - momentum  # mmpretrain states the weight of the new value

    def update(self) -> None:
        from lightly.models.utils import update_momentum

        for online, average in zip((self.backbone, self.projector), self.averaged, strict=True):
            update_momentum(online, average, m=self.momentum)

    @torch.no_grad()
    def target(self, view: Tensor) -> Tensor:
        backbone, projector = self.averaged
        return projector(backbone(view).flatten(1))


class _MoCo(_Momentum):
    def __init__(self, cfg: Mapping[str, Any]) -> None:
        super().__init__(cfg)
        from lightly.loss import NTXentLoss
        from lightly.models.modules import heads

        self.projector = heads.MoCoProjectionHead(*_widths(cfg['neck']))
        self.follow(cfg['momentum'])
        self.criterion = NTXentLoss(
            temperature=cfg['head']['temperature'],
            memory_bank_size=(cfg['queue_len'], cfg['feat_dim']),
        )

    def forward(self, view1: Tensor, view2: Tensor) -> Tensor:
        self.update()
        loss1 = self.criterion(super().forward(view1), self._keys(view2))
        loss2 = self.criterion(super().forward(view2), self._keys(view1))
        return 0.5 * (loss1 + loss2)

    def _keys(self, view: Tensor) -> Tensor:
        from lightly.models.utils import batch_shuffle, batch_unshuffle

        view, order = batch_shuffle(view)
        return batch_unshuffle(self.target(view), order)


class _BYOL(_Momentum):
    def __init__(self, cfg: Mapping[str, Any]) -> None:
        super().__init__(cfg)
        from lightly.loss import NegativeCosineSimilarity
        from lightly.models.modules import heads

        self.projector = heads.BYOLProjectionHead(*_widths(cfg['neck']))
        self.predictor = heads.BYOLPredictionHead(*_widths(cfg['head']['predictor']))
        self.follow(cfg['base_momentum'])
        self.criterion = NegativeCosineSimilarity()

    def forward(self, view1: Tensor, view2: Tensor) -> Tensor:
        self.update()
        p1 = self.predictor(super().forward(view1))
        p2 = self.predictor(super().forward(view2))
        loss1 = self.criterion(p1, self.target(view2))
        loss2 = self.criterion(p2, self.target(view1))
        return 0.5 * (loss1 + loss2)
