# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""ResNets of torchvision and timm that take the weights of mmpretrain's ResNet.

The three libraries name the weights alike. A CIFAR ResNet differs by its stem
(3x3, stride 1, no max-pool), a narrow one by its widths; both libraries' own
classes are used, with the stem and the stages rebuilt where they differ.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torchvision.models.resnet as tv_resnet
from torch import nn

__all__ = ['ResNetSpec', 'build_timm', 'build_torchvision']

STAGE_BLOCKS = {
    18: ('BasicBlock', (2, 2, 2, 2)),
    34: ('BasicBlock', (3, 4, 6, 3)),
    50: ('Bottleneck', (3, 4, 6, 3)),
    101: ('Bottleneck', (3, 4, 23, 3)),
    152: ('Bottleneck', (3, 8, 36, 3)),
}
STANDARD_WIDTH = 64
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


@dataclass(frozen=True)
class ResNetSpec:
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
        if depth not in STAGE_BLOCKS:
            raise ValueError(f'backbone.depth={depth} is none of {sorted(STAGE_BLOCKS)}')
        return cls(
            depth,
            cfg.get('stem_channels', STANDARD_WIDTH),
            cfg.get('base_channels', STANDARD_WIDTH),
            name == 'ResNet_CIFAR',
        )

    @property
    def block(self) -> str:
        """Name of the residual block's class, the same in both libraries."""
        return STAGE_BLOCKS[self.depth][0]

    @property
    def blocks(self) -> tuple[int, ...]:
        """Number of blocks per stage."""
        return STAGE_BLOCKS[self.depth][1]

    @property
    def widths(self) -> tuple[int, ...]:
        """Width of each stage's 3x3 convolutions."""
        return tuple(self.base_channels * 2**stage for stage in range(4))

    @property
    def standard_widths(self) -> bool:
        """Whether the widths are those of the published ResNet."""
        return self.stem_channels == self.base_channels == STANDARD_WIDTH

    def rebuild_stem(self, net: nn.Module) -> None:
        """Give ``net`` this stem in place of its own."""
        kernel, stride = (3, 1) if self.cifar_stem else (7, 2)
        net.conv1 = nn.Conv2d(3, self.stem_channels, kernel, stride, kernel // 2, bias=False)
        net.bn1 = nn.BatchNorm2d(self.stem_channels)
        if self.cifar_stem:
            net.maxpool = nn.Identity()


def build_torchvision(spec: ResNetSpec) -> nn.Module:
    """Build torchvision's ResNet without its classifier: (N, 3, H, W) -> (N, C)."""
    block = getattr(tv_resnet, spec.block)
    net = tv_resnet.ResNet(block, list(spec.blocks))
    net.fc = nn.Identity()
    spec.rebuild_stem(net)
    if not spec.standard_widths:
        net.inplanes = spec.stem_channels
        for stage, (width, count) in enumerate(zip(spec.widths, spec.blocks, strict=True)):
            layer = net._make_layer(block, width, count, stride=1 if stage == 0 else 2)
            setattr(net, f'layer{stage + 1}', layer)
    return net


def build_timm(spec: ResNetSpec) -> nn.Module:
    """Build timm's ResNet without its classifier: (N, 3, H, W) -> (N, C).

    Raises:
        ModuleNotFoundError: If timm is not installed.
    """
    try:
        import timm.models.resnet as timm_resnet
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "timm is not installed and its layout is checked by it; pip install 'nasiam_mm[export]'"
        ) from error
    block = getattr(timm_resnet, spec.block)
    net = timm_resnet.ResNet(block, spec.blocks, num_classes=0, channels=spec.widths)
    spec.rebuild_stem(net)
    if not spec.standard_widths:
        stages, _ = timm_resnet.make_blocks(
            (block,) * 4,
            spec.widths,
            spec.blocks,
            spec.stem_channels,
            base_width=64,
            cardinality=1,
        )
        for name, stage in stages:
            setattr(net, name, stage)
    return net
