# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""ResNets of torchvision and timm that take the weights of mmpretrain's ResNet.

The three libraries name the weights alike. A CIFAR ResNet differs by its stem, a narrow one by
its widths; both libraries' own classes are used, with stem and stages put in place of theirs.
"""

import re
from collections.abc import Mapping
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torchvision.models.resnet as tv_resnet
from torch import nn

from nasiam_mm.versions import require

# Depth -> block, as all three libraries call it, and blocks of each stage.
_DEPTHS = {
    18: ('BasicBlock', (2, 2, 2, 2)),
    34: ('BasicBlock', (3, 4, 6, 3)),
    50: ('Bottleneck', (3, 4, 6, 3)),
    101: ('Bottleneck', (3, 4, 23, 3)),
    152: ('Bottleneck', (3, 8, 36, 3)),
}
# What both libraries have fixed to mmpretrain's defaults.
FIXED = ('in_channels', 'strides', 'dilations', 'style', 'deep_stem', 'avg_down', 'expansion')


class ResNetSpec(NamedTuple):
    """What distinguishes the ResNets that torchvision and timm can hold."""

    depth: int  # 18, 34, 50, 101 or 152
    stem_channels: int
    base_channels: int  # of the first stage's 3x3 convolutions
    cifar_stem: bool  # a 3x3 convolution of stride 1 without max-pool

    @property
    def block(self) -> str:
        """Class of its blocks, which all three libraries call alike."""
        return _DEPTHS[self.depth][0]

    @property
    def blocks(self) -> tuple[int, ...]:
        """Number of blocks of each stage."""
        return _DEPTHS[self.depth][1]

    @property
    def planes(self) -> tuple[int, ...]:
        """Width of each stage's 3x3 convolutions."""
        return tuple(self.base_channels * 2**stage for stage in range(4))

    @classmethod
    def from_cfg(cls, cfg: Mapping[str, Any]) -> 'ResNetSpec':
        """Read the config of mmpretrain's ``ResNet`` or ``ResNet_CIFAR``.

        ValueError if torchvision and timm have no such network.
        """
        from mmpretrain.models import ResNet  # seconds, and alarms, that no loading needs

        name = str(cfg.get('type')).split('.')[-1]
        defaults = {key: of.default for key, of in signature(ResNet).parameters.items()}
        given = defaults | {key: tuple(v) if isinstance(v, list) else v for key, v in cfg.items()}
        odd = [f'backbone.{key}={given[key]}' for key in FIXED if given[key] != defaults[key]]
        if given['depth'] not in _DEPTHS:
            odd.append(f'backbone.depth={given["depth"]}')
        if name not in ('ResNet', 'ResNet_CIFAR'):
            odd.insert(0, name)
        if odd:
            there = 'the ResNets of torchvision and timm; export it with --layout mmengine'
            raise ValueError(f'{odd[0]} has no counterpart in {there}')
        stem, base = given['stem_channels'], given['base_channels']
        return cls(given['depth'], stem, base, name == 'ResNet_CIFAR')


class ChoiceSpec(NamedTuple):
    """What distinguishes the searched ResNets that torchvision and timm can hold."""

    block: str  # 'BasicBlock' or 'Bottleneck'
    blocks: tuple[int, ...]
    planes: tuple[int, ...]  # widths of the 3x3 convolutions
    stem_channels: int

    @property
    def cifar_stem(self) -> bool:
        """Whether the stem is a 3x3 convolution of stride 1 without max-pool."""
        return True

    @classmethod
    def from_cfg(cls, cfg: Mapping[str, Any]) -> 'ChoiceSpec':
        """Read the config of a ``ChoiceResNet``; ValueError if the two have no such network."""
        from nasiam_mm.models.backbones.handing import as_shapes

        net: Any = as_shapes(cfg)
        found = {name for layer in net.blocks.layers for name, _ in layer.items()}
        ops = {'basic_3': ('BasicBlock', 1), 'bottleneck_3': ('Bottleneck', 4)}
        known = [ops[name] for name in found if name in ops]
        if net.is_searched or len(found) > 1 or not known or len(net.plan.blocks) > 4:
            odd = 'more than 4 stages' if known and len(found) == 1 else ' and '.join(sorted(found))
            there = 'the ResNets of torchvision and timm, whose blocks are all basic or all'
            mend = 'bottlenecks of 3x3; export it with --layout mmengine'
            raise ValueError(f'a ChoiceResNet of {odd} has no counterpart in {there} {mend}')
        [(block, expansion)] = known
        planes = tuple(width // expansion for width in net.stage_channels())
        return cls(block, net.plan.blocks, planes, net.plan.channels[0])


Spec = ResNetSpec | ChoiceSpec
Value = TypeVar('Value')
_BLOCK = re.compile(r'blocks\.layers\.(\d+)\.[^.]+\.')


def spec_of(cfg: Mapping[str, Any]) -> Spec:
    """Read the config of a backbone; ValueError if torchvision and timm have no such network."""
    from nasiam_mm.models.backbones.handing import kind_of
    from nasiam_mm.models.backbones.resnet import ChoiceResNet

    return ChoiceSpec.from_cfg(cfg) if kind_of(cfg) is ChoiceResNet else ResNetSpec.from_cfg(cfg)


def named_as(spec: Spec, weights: Mapping[str, Value]) -> dict[str, Value]:
    """Name weights as torchvision and timm do; those of mmpretrain's ResNet are so already."""
    if isinstance(spec, ResNetSpec):
        return dict(weights)
    places = [f'layer{stage + 1}.{n}.' for stage, c in enumerate(spec.blocks) for n in range(c)]
    found = {}
    for name, value in weights.items():
        name = _BLOCK.sub(lambda match: places[int(match[1])], name)
        name = name.replace('stem.0.', 'conv1.').replace('stem.1.', 'bn1.')
        found[name] = value
    return found


def loader_of(spec: Spec, layout: str, path: Path) -> str:
    """Return the lines of Python that load a file of a layout into the network it is of."""
    reads = f'torch.load({str(path)!r})', 'import torch'
    if path.suffix == '.safetensors':
        reads = f'load_file({str(path)!r})', 'from safetensors.torch import load_file'
    return (
        f'{reads[1]}\nfrom nasiam_mm.export.layouts import {type(spec).__name__}, build_resnet\n\n'
        f'net = build_resnet({spec}, {layout!r})\nnet.load_state_dict({reads[0]})'
    )


def build_resnet(spec: Spec, layout: str) -> nn.Module:
    """Build the ResNet of 'torchvision' or 'timm' without classifier: (N, 3, H, W) -> (N, C).

    A stage that the network has not is an identity there.
    """
    counts, widths = list(spec.blocks), list(spec.planes)
    # Their constructors want four stages, which are put in place of after.
    missing = 4 - len(counts)
    four = [*counts, *[1] * missing], [*widths, *widths[-1:] * missing]
    if layout == 'timm':
        timm_resnet = require('timm.models.resnet', 'export')
        block = getattr(timm_resnet, spec.block)
        net = timm_resnet.ResNet(block, four[0], num_classes=0, channels=four[1])
        stages, _ = timm_resnet.make_blocks(
            (block,) * len(counts), widths, counts, spec.stem_channels,
            base_width=64, cardinality=1,
        )  # fmt: skip
        for name, stage in stages:
            setattr(net, name, stage)
    else:
        block = getattr(tv_resnet, spec.block)
        net = tv_resnet.ResNet(block, four[0])
        net.fc, net.inplanes = nn.Identity(), spec.stem_channels
        for n, width in enumerate(widths):
            stage = net._make_layer(block, width, counts[n], stride=2 if n else 1)
            setattr(net, f'layer{n + 1}', stage)
    for n in range(len(counts), 4):
        setattr(net, f'layer{n + 1}', nn.Identity())
    kernel, stride = (3, 1) if spec.cifar_stem else (7, 2)
    net.conv1 = nn.Conv2d(3, spec.stem_channels, kernel, stride, kernel // 2, bias=False)
    net.bn1 = nn.BatchNorm2d(spec.stem_channels)
    if spec.cifar_stem:
        net.maxpool = nn.Identity()
    return net
