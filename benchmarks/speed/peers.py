# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The frameworks as peers build them, at the widths and optimizer settings of our configs.

lightly, as its documentation has it: ``ResNetGenerator('resnet-18')``, its CIFAR ResNet; asked for
only when a model is built.

solo-learn, from a checkout, without its Trainer. It needs ``lightning``, ``timm``, ``einops`` and
``omegaconf``. What it does otherwise than the papers stays: a CIFAR stem with padding 2 (34 x 34
maps), an online classifier beside the loss, a three-layer projector in SimSiam, images and model in
channels_last.
"""

import copy
import importlib
import logging
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor, nn

from benchmarks.speed.setup import Setup

METHODS = {'simsiam': 'simsiam', 'simclr': 'simclr', 'mocov2': 'mocov2plus', 'byol': 'byol'}


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


def solo_learn_step(
    framework: str, setup: Setup, cfg: Config, views: Sequence[Tensor]
) -> Callable[[], None]:
    """Build the step of a method at the widths and optimizer settings of our config.

    Raises:
        FileNotFoundError: If the checkout holds no ``solo`` package.
        ImportError: If a package it needs is absent.
    """
    methods, omegaconf = _import(Path(setup.solo_learn))
    method = METHODS[framework]
    model = methods[method](omegaconf.OmegaConf.create(_options(method, setup, cfg)))
    model.to(setup.device, memory_format=torch.channels_last).train()
    optimizer = model.configure_optimizers()
    batch_size = len(views[0])
    labels = torch.zeros(batch_size, dtype=torch.long, device=setup.device)
    batch = [torch.arange(batch_size, device=setup.device), list(views), labels]

    def step() -> None:
        loss = model.training_step(batch, 0)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        # What its on_train_batch_end does where there is a Trainer.
        for online, average in getattr(model, 'momentum_pairs', ()):
            model.momentum_updater.update(online, average)

    return step


def _import(checkout: Path) -> tuple[dict, object]:
    if not (checkout / 'solo' / 'methods').is_dir():
        raise FileNotFoundError(f'{checkout} is no checkout of solo-learn: no solo/methods')
    if str(checkout) not in sys.path:
        sys.path.append(str(checkout))
    # It warns of deprecated imports, and of every self.log without a Trainer.
    warnings.filterwarnings('ignore', module=r'solo\.|timm\.|lightning\.')
    logging.getLogger('lightning.pytorch').setLevel(logging.ERROR)
    omegaconf = importlib.import_module('omegaconf')
    return importlib.import_module('solo.methods').METHODS, omegaconf


def _options(method: str, setup: Setup, cfg: Config) -> dict:
    neck, optimizer = cfg.model.neck, cfg.optim_wrapper.optimizer
    method_kwargs = {
        'proj_hidden_dim': neck.hid_channels,
        'proj_output_dim': neck.out_channels,
        'temperature': cfg.model.head.get('temperature', 0.2),
    }
    if 'predictor' in cfg.model.head:
        method_kwargs['pred_hidden_dim'] = cfg.model.head.predictor.hid_channels
    if method == 'mocov2plus':
        method_kwargs['queue_size'] = cfg.model.queue_len
    return {
        'method': method,
        'backbone': {'name': 'resnet18'},
        'method_kwargs': method_kwargs,
        'momentum': {'base_tau': 0.99, 'final_tau': 1.0},
        'data': {
            'dataset': 'cifar10', 'num_classes': 10, 'num_large_crops': 2, 'num_small_crops': 0,
        },
        'max_epochs': 800,
        'optimizer': {
            'name': 'sgd',
            'batch_size': setup.batch_size,
            'lr': optimizer.lr,
            'classifier_lr': 0.1,
            'weight_decay': optimizer.weight_decay,
            'kwargs': {'momentum': optimizer.momentum},
        },
        'scheduler': {'name': 'none'},
    }  # fmt: skip
