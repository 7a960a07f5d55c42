# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""ResNets of torchvision and timm that take the weights of mmpretrain's ResNet.

The three libraries name the weights alike. A CIFAR ResNet differs by its stem
(3x3, stride 1, no max-pool), a narrow one by its widths; both libraries' own
classes are used, with stem and stages put in place of theirs.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torchvision.models.resnet as tv_resnet
from mmpretrain.models import ResNet
from torch import nn

from nasiam_mm.versions import require

# What both libraries have fixed; mmpretrain's defaults are the same.
FIXED = {
    'in_channels': 3,
    'num_stages': 4,
    'strides': (1, 2, 2, 2),
    'dilations': (1, 1, 1, 1),
    'style': 'pytorch',
    'deep_stem': False,
    'avg_down': False,
    'expansion': None,
}


class ResNetSpec(NamedTuple):
    """What distinguishes the ResNets that torchvision and timm can hold.

    Attributes:
        depth (int): 18, 34, 50, 101 or 152.
        stem_channels (int): Width of the stem.
        base_channels (int): Width of the first stage's 3x3 convolutions.
        cifar_stem (bool): Whether the stem is a 3x3 convolution of stride 1 without max-pool.
    """

    depth: int
    stem_channels: int
    base_channels: int
    cifar_stem: bool

    @classmethod
    def from_cfg(cls, cfg: Mapping[str, Any]) -> 'ResNetSpec':
        """Read the config of mmpretrain's ``ResNet`` or ``ResNet_CIFAR``.

        Raises:
            ValueError: If torchvision and timm have no such network.
        """
        name = str(cfg.get('type')).split('.')[-1]
        if name not in ('ResNet', 'ResNet_CIFAR'):
            raise ValueError(
                f'torchvision and timm layouts hold ResNet and ResNet_CIFAR, not {name}; '
                'export it with --layout mmengine'
            )
        for key, value in FIXED.items():
            given = cfg.get(key, value)
            if (tuple(given) if isinstance(given, list) else given) != value:
                raise ValueError(
                    f"backbone.{key}={given} has no counterpart in torchvision's and timm's "
                    'ResNet; export it with --layout mmengine'
                )
        depth = cfg['depth']
        if depth not in ResNet.arch_settings:
            raise ValueError(f'backbone.depth={depth} is none of {sorted(ResNet.arch_settings)}')
        stem, base = cfg.get('stem_channels', 64), cfg.get('base_channels', 64)
        return cls(depth, stem, base, name == 'ResNet_CIFAR')


def build_resnet(spec: ResNetSpec, layout: str) -> nn.Module:
    """Build the ResNet of 'torchvision' or 'timm' without classifier: (N, 3, H, W) -> (N, C).

    Raises:
        ModuleNotFoundError: If timm is not installed.
    """
    theirs, counts = ResNet.arch_settings[spec.depth]  # all three call their blocks alike
    widths = [spec.base_channels * 2**stage for stage in range(4)]
    if layout == 'timm':
        timm_resnet = require('timm.models.resnet', 'export')
        block = getattr(timm_resnet, theirs.__name__)
        net = timm_resnet.ResNet(block, counts, num_classes=0, channels=widths)
        stages, _ = timm_resnet.make_blocks(
            (block,) * 4, widths, counts, spec.stem_channels, base_width=64, cardinality=1
        )
    else:
        block = getattr(tv_resnet, theirs.__name__)
        net = tv_resnet.ResNet(block, list(counts))
        net.fc, net.inplanes = nn.Identity(), spec.stem_channels
        stages = [
            (f'layer{n + 1}', net._make_layer(block, width, counts[n], stride=2 if n else 1))
            for n, width in enumerate(widths)
        ]
    for name, stage in stages:
        setattr(net, name, stage)
    kernel, stride = (3, 1) if spec.cifar_stem else (7, 2)
    net.conv1 = nn.Conv2d(3, spec.stem_channels, kernel, stride, kernel // 2, bias=False)
    net.bn1 = nn.BatchNorm2d(spec.stem_channels)
    if spec.cifar_stem:
        net.maxpool = nn.Identity()
    return net
