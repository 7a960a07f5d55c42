# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Small backbones of choices, alone and under SimCLR."""

import torch
from torch import nn

from nasiam_mm.registry import MODELS
from tests.small import build

RESNET = dict(blocks=[1, 2, 3], block=['basic', 'bottleneck'], kernel=[3, 5], width=[0.5, 1])
MOBILENET = ['mbconv_3_e3', 'mbconv_3_e6', 'mbconv_5_e3', 'mbconv_5_e6', 'identity']
CELLS = [
    *('sep_conv_3', 'sep_conv_5', 'dil_conv_3', 'dil_conv_5'),
    *('max_pool_3x3', 'avg_pool_3x3', 'identity', 'factorized_reduce', 'none'),
]
# What alpha can mix.
MIXED = {
    'resnet': dict(
        type='ChoiceResNet',
        blocks=(1, 2),
        base_channels=8,
        stem_channels=8,
        space=dict(op=['basic_3', 'bottleneck_3', 'bottleneck_5']),
    ),
    'mobilenet': dict(
        type='ChoiceMobileNet',
        blocks=(2, 1),
        channels=(8, 8, 16),
        strides=(1, 2),
        space=['mbconv_3_e3', 'mbconv_5_e3', 'identity'],
    ),
    'cells': dict(type='ChoiceCells', blocks=(1, 1), base_channels=8, nodes=2, space=CELLS),
}
GATES = dict(relaxation=dict(type='TwoPathGates'), mixing=dict(type='SinglePath'))


def neck(width: int) -> dict:
    """A projector that is not searched, of any input width: the backbone says it."""
    return dict(
        type='NonLinearNeck',
        in_channels=1,
        hid_channels=16,
        out_channels=width,
        num_layers=2,
        norm_cfg=dict(type='BN1d'),
    )


def simclr(backbone: str | dict, **changes) -> nn.Module:
    """SimCLR in training mode whose backbone alone is searched, alpha off its start."""
    config = dict(MIXED[backbone], img_size=16) if isinstance(backbone, str) else backbone
    return build('simclr', backbone=config, neck=neck(16), **{'space': None, **changes})


def alone(config: dict, **changes) -> nn.Module:
    """A backbone in training mode, BatchNorm's weights off their start."""
    torch.manual_seed(0)
    net = MODELS.build({**config, **changes})
    for norm in (m for m in net.modules() if isinstance(m, nn.BatchNorm2d)):
        nn.init.normal_(norm.weight, 1, 0.2)
        nn.init.normal_(norm.bias, std=0.2)
    return net.train()
