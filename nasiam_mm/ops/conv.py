# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Candidate operations of a backbone's block: of ResNet and of MobileNet.

Each maps (N, C_in, H, W) to (N, C_out, ceil(H / stride), ceil(W / stride)) and is registered as

    op(in_channels: int, out_channels: int, stride: int) -> nn.Module

marked by ``operation_of('maps')``. Parts have torchvision's names.
"""

from typing import Any

from torch import Tensor, nn

from nasiam_mm.ops.candidates import CANDIDATE_OPS, operation_of

_EXPANSION = 4  # of a bottleneck's output over its middle


def conv(
    in_channels: int, out_channels: int, kernel: int, stride: int = 1, **more: Any
) -> nn.Conv2d:
    """Return a convolution without bias that keeps the side of its input, but for the stride."""
    dilation = more.get('dilation', 1)
    pad = dilation * (kernel // 2)
    return nn.Conv2d(in_channels, out_channels, kernel, stride, pad, bias=False, **more)


class BasicBlock(nn.Module):
    """Two convolutions and a shortcut (`ResNet`_, figure 5, left), of any odd kernel.

    .. _ResNet: https://arxiv.org/abs/1512.03385
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv1 = conv(in_channels, out_channels, kernel, stride)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU()
        self.conv2 = conv(out_channels, out_channels, kernel)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.downsample = _shortcut(in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C_in, H, W) to (N, C_out, H', W')."""
        y = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(y)) + (x if self.downsample is None else
                                                    self.downsample(x)))  # fmt: skip


class Bottleneck(nn.Module):
    """A convolution between two of 1x1, a quarter as wide (ResNet, figure 5, right)."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int) -> None:
        super().__init__()
        middle = out_channels // _EXPANSION
        self.conv1, self.bn1 = conv(in_channels, middle, 1), nn.BatchNorm2d(middle)
        self.conv2, self.bn2 = conv(middle, middle, kernel, stride), nn.BatchNorm2d(middle)
        self.conv3, self.bn3 = conv(middle, out_channels, 1), nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU()
        self.downsample = _shortcut(in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C_in, H, W) to (N, C_out, H', W')."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn3(self.conv3(self.relu(self.bn2(self.conv2(y)))))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


def _shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Sequential | None:
    if in_channels == out_channels and stride == 1:
        return None
    mapping = conv(in_channels, out_channels, 1, stride)
    return nn.Sequential(mapping, nn.BatchNorm2d(out_channels))


class InvertedResidual(nn.Module):
    """Widen, convolve each channel, narrow; a shortcut where the shape stays (`MobileNetV2`_).

    .. _MobileNetV2: https://arxiv.org/abs/1801.04381
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, expansion: int, stride: int
    ) -> None:
        super().__init__()
        wide = in_channels * expansion
        self.adds = in_channels == out_channels and stride == 1
        self.conv = nn.Sequential(
            nn.Sequential(conv(in_channels, wide, 1), nn.BatchNorm2d(wide), nn.ReLU6()),
            nn.Sequential(
                conv(wide, wide, kernel, stride, groups=wide), nn.BatchNorm2d(wide), nn.ReLU6()
            ),
            conv(wide, out_channels, 1),
            nn.BatchNorm2d(out_channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C_in, H, W) to (N, C_out, H', W')."""
        y = self.conv(x)
        return x + y if self.adds else y


def _register_resnet(name: str, kind: type[nn.Module], kernel: int) -> None:
    divides = _EXPANSION if kind is Bottleneck else 1

    @CANDIDATE_OPS.register_module(name=f'{name}_{kernel}')
    @operation_of('maps', fits=lambda shape: shape.out_channels % divides == 0)
    def build(in_channels: int, out_channels: int, stride: int = 1) -> nn.Module:
        return kind(in_channels, out_channels, kernel, stride)


def _register_mobilenet(kernel: int, expansion: int) -> None:
    @CANDIDATE_OPS.register_module(name=f'mbconv_{kernel}_e{expansion}')
    @operation_of('maps')
    def build(in_channels: int, out_channels: int, stride: int = 1) -> nn.Module:
        return InvertedResidual(in_channels, out_channels, kernel, expansion, stride)


for _kernel in (3, 5):
    _register_resnet('basic', BasicBlock, _kernel)
    _register_resnet('bottleneck', Bottleneck, _kernel)
    for _expansion in (3, 6):
        _register_mobilenet(_kernel, _expansion)
