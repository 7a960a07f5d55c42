# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Small frameworks to compare with the formulas of their papers.

Importing this module registers ``ToyBackbone``.
"""

from pathlib import Path

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from nasiam_mm.architecture.choice import op_choices
from nasiam_mm.architecture.genotype import random_genotype, save_genotype
from nasiam_mm.models.frameworks import predictor_head
from nasiam_mm.ops.candidates import SPACES, layer_shapes
from nasiam_mm.registry import MODELS
from tests.small import tensors

__all__ = [
    'ToyBackbone', 'build', 'correlating', 'disturb', 'fixed', 'tensors', 'unit', 'views',
]  # fmt: skip
WIDTH, DIM = 8, 6  # of the features, of the embeddings
SPACE = SPACES['S']
MOMENTUM = ('MoCo', 'BYOL', 'MoCoV3')
PREDICTING = ('SimSiam', 'BYOL', 'MoCoV3')


@MODELS.register_module(force=True)
class ToyBackbone(BaseModule):
    """One convolution, BatchNorm and ReLU: (N, 3, H, W) to a tuple of (N, 8, H - 2, W - 2)."""

    def __init__(self):
        # Drawn anew by init_weights, after a framework made its copies.
        super().__init__(init_cfg=dict(type='Kaiming', layer='Conv2d'))
        self.conv = nn.Conv2d(3, WIDTH, 3)
        self.bn = nn.BatchNorm2d(WIDTH)

    def forward(self, x):
        return (self.bn(self.conv(x)).relu(),)


def projector(out_channels: int | None = DIM) -> dict:
    """Projector of two layers and an output layer."""
    return dict(
        type='HeadMLP',
        name='projector',
        in_channels=WIDTH,
        hidden_channels=WIDTH,
        depth=2,
        out_channels=out_channels,
    )


def fixed(folder: Path) -> str:
    """Path of a random genotype of such a projector."""
    choices = op_choices('projector', SPACE, layer_shapes(WIDTH, [WIDTH, WIDTH]))
    save_genotype(random_genotype('MoCo', {'projector': choices}, 3), folder / 'genotype.json')
    return str(folder / 'genotype.json')


def _contrasting(temperature: float) -> dict:
    loss = dict(type='CrossEntropyLoss')
    return dict(type='ContrastiveHead', loss=loss, temperature=temperature)


def correlating(lambd: float = 0.005, **more) -> dict:
    """Head of Barlow Twins."""
    loss = dict(type='CrossCorrelationLoss', lambd=lambd)
    return dict(type='LatentCrossCorrelationHead', loss=loss, **more)


def build(framework: str, genotype: str | None = None, **kwargs) -> nn.Module:
    """Build and initialise a framework in training mode, its alpha off zero.

    Where a genotype is given it makes the projector; a predictor is searched.
    """
    specific = {
        'SimSiam': dict(head=predictor_head(DIM, WIDTH)),
        'BYOL': dict(head=predictor_head(DIM, WIDTH), base_momentum=0.1),
        'SimCLR': dict(head=_contrasting(0.5)),
        'PIRL': dict(head=dict(type='PIRLHead')),
        'MoCoV3': dict(
            head={**predictor_head(DIM, WIDTH), **_contrasting(0.2), 'type': 'MoCoV3Head'},
            base_momentum=0.1,
        ),
        'BarlowTwins': dict(head=correlating()),
        'VICReg': dict(head=dict(type='VICRegHead')),
        'MoCo': dict(head=_contrasting(0.1), queue_len=24, feat_dim=DIM, momentum=0.1),
    }[framework]
    neck = {**projector(), 'genotype': genotype}
    is_open = genotype is None or framework in PREDICTING  # a predictor is searched
    config = dict(
        type=framework,
        space=SPACE if is_open else None,
        backbone=dict(type='ToyBackbone'),
        neck=neck,
        **specific,
    )
    model = MODELS.build({**config, **kwargs})
    model.init_weights()
    if model.architecture is not None:
        for alpha in model.architecture.alphas():
            nn.init.normal_(alpha, std=0.5)
    return model.train()


def views(batch: int = 4) -> list[Tensor]:
    """Two random views, each (N, 3, 6, 6)."""
    return [torch.randn(batch, 3, 6, 6) for _ in range(2)]


def unit(x: Tensor) -> Tensor:
    """Divide each row by its length, (N, C)."""
    return x / x.square().sum(dim=1, keepdim=True).sqrt()


def disturb(model: nn.Module, scale: float = 0.1) -> None:
    """Move every trained weight at random, as a weight step would."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += scale * torch.randn_like(parameter)
