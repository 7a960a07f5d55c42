# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Small frameworks to compare with the formulas of their papers.

Importing this module registers ``ToyBackbone``.
"""

from pathlib import Path

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from nasiam_mm.architecture.genotype import Genotype, random_cell, save_genotype
from nasiam_mm.ops.candidates import SPACES, layer_shapes
from nasiam_mm.registry import MODELS

WIDTH, DIM = 8, 6  # of the features, of the embeddings
SPACE = SPACES['S']
MOMENTUM = {'MoCo': 'encoder_k', 'BYOL': 'target_net'}


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


def searchable(out_channels: int | None = DIM) -> dict:
    """Projector of two mixed layers and an output layer."""
    return dict(
        type='SearchableMLP',
        cell='projector',
        space=SPACE,
        in_channels=WIDTH,
        widths=[WIDTH, WIDTH],
        out_channels=out_channels,
    )


def fixed(folder: Path) -> dict:
    """The same from a random genotype."""
    cells = {'projector': random_cell(SPACE, layer_shapes(WIDTH, [WIDTH, WIDTH]), seed=3)}
    save_genotype(Genotype('MoCo', SPACE, cells), folder / 'genotype.json')
    return dict(
        type='GenotypeMLP',
        cell='projector',
        genotype=str(folder / 'genotype.json'),
        in_channels=WIDTH,
        out_channels=DIM,
    )


def _predicting() -> dict:
    predictor = dict(
        type='SearchableMLP',
        cell='predictor',
        space=SPACE,
        in_channels=DIM,
        widths=[WIDTH, DIM],
        plain_output=True,
        with_avg_pool=False,
    )
    loss = dict(type='CosineSimilarityLoss')
    return dict(type='LatentPredictHead', loss=loss, predictor=predictor)


def _contrasting(temperature: float) -> dict:
    loss = dict(type='CrossEntropyLoss')
    return dict(type='ContrastiveHead', loss=loss, temperature=temperature)


def build(framework: str, neck: dict | None = None, **kwargs) -> nn.Module:
    """Build and initialise a framework in training mode, its alpha off zero."""
    specific = {
        'SimSiam': dict(head=_predicting()),
        'BYOL': dict(head=_predicting(), base_momentum=0.1),
        'SimCLR': dict(head=_contrasting(0.5)),
        'MoCo': dict(head=_contrasting(0.1), queue_len=24, feat_dim=DIM, momentum=0.1),
    }[framework]
    config = dict(
        type=framework, backbone=dict(type='ToyBackbone'), neck=neck or searchable(), **specific
    )
    model = MODELS.build({**config, **kwargs})
    model.init_weights()
    for name, parameter in model.named_parameters():
        if name.endswith('alpha'):
            nn.init.normal_(parameter, std=0.5)
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


def tensors(model: nn.Module) -> dict[str, Tensor]:
    """Copies of all parameters and buffers, those that no checkpoint holds included."""
    both = [*model.named_parameters(), *model.named_buffers()]
    return {name: value.detach().clone() for name, value in both}
