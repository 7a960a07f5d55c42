# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""ResNets of torchvision and timm that take the weights of mmpretrain's ResNet.

The three libraries name the weights alike. A CIFAR ResNet differs by its stem, a narrow one by
its widths; both libraries' own classes are used, with stem and stages put in place of theirs.
"""

from collections.abc import Mapping
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple

import torchvision.models.resnet as tv_resnet
from mmpretrain.models import ResNet
from torch import nn

from nasiam_mm.versions import require

# What both libraries have fixed to mmpretrain's defaults.
FIXED = ('in_channels', 'strides', 'dilations', 'style', 'deep_stem', 'avg_down', 'expansion')


class ResNetSpec(NamedTuple):
    """What distinguishes the ResNets that torchvision and timm can hold."""

    depth: int  # 18, 34, 50, 101 or 152
    stem_channels: int
    base_channels: int  # of the first stage's 3x3 convolutions
    cifar_stem: bool  # a 3x3 convolution of stride 1 without max-pool

    @classmethod
    def from_cfg(cls, cfg: Mapping[str, Any]) -> 'ResNetSpec':
        """Read the config of mmpretrain's ``ResNet`` or ``ResNet_CIFAR``.

        ValueError if torchvision and timm have no such network.
        """
        name = str(cfg.get('type')).split('.')[-1]
        defaults = {key: of.default for key, of in signature(ResNet).parameters.items()}
        given = defaults | {key: tuple(v) if isinstance(v, list) else v for key, v in cfg.items()}
        odd = [f'backbone.{key}={given[key]}' for key in FIXED if given[key] != defaults[key]]
        if given['depth'] not in ResNet.arch_settings:
            odd.append(f'backbone.depth={given["depth"]}')
        if name not in ('ResNet', 'ResNet_CIFAR'):
            odd.insert(0, name)
        if odd:
            there = 'the ResNets of torchvision and timm; export it with --layout mmengine'
            raise ValueError(f'{odd[0]} has no counterpart in {there}')
        stem, base = given['stem_channels'], given['base_channels']
        return cls(given['depth'], stem, base, name == 'ResNet_CIFAR')


def loader_of(spec: ResNetSpec, layout: str, path: Path) -> str:
    """Return the lines of Python that load a file of a layout into the network it is of."""
    reads = f'torch.load({str(path)!r})', 'import torch'
    if path.suffix == '.safetensors':
        reads = f'load_file({str(path)!r})', 'from safetensors.torch import load_file'
    return (
        f'{reads[1]}\nfrom nasiam_mm.export.layouts import ResNetSpec, build_resnet\n\n'
        f'net = build_resnet({spec}, {layout!r})\nnet.load_state_dict({reads[0]})'
    )


def build_resnet(spec: ResNetSpec, layout: str) -> nn.Module:
    """Build the ResNet of 'torchvision' or 'timm' without classifier: (N, 3, H, W) -> (N, C)."""
    theirs, counts = ResNet.arch_settings[spec.depth]  # all three call their blocks alike
    widths = [spec.base_channels * 2**stage for stage in range(4)]
    if layout == 'timm':
        timm_resnet = require('timm.models.resnet', 'export')
        block = getattr(timm_resnet, theirs.__name__)
        net = timm_resnet.ResNet(block, counts, num_classes=0, channels=widths)
        stages, _ = timm_resnet.make_blocks(
            (block,) * 4, widths, counts, spec.stem_channels, base_width=64, cardinality=1
        )
        for name, stage in stages:
            setattr(net, name, stage)
    else:
        block = getattr(tv_resnet, theirs.__name__)
        net = tv_resnet.ResNet(block, list(counts))
        net.fc, net.inplanes = nn.Identity(), spec.stem_channels
        for n, width in enumerate(widths):
            stage = net._make_layer(block, width, counts[n], stride=2 if n else 1)
            setattr(net, f'layer{n + 1}', stage)
    kernel, stride = (3, 1) if spec.cifar_stem else (7, 2)
    net.conv1 = nn.Conv2d(3, spec.stem_channels, kernel, stride, kernel // 2, bias=False)
    net.bn1 = nn.BatchNorm2d(spec.stem_channels)
    if spec.cifar_stem:
        net.maxpool = nn.Identity()
    return net
