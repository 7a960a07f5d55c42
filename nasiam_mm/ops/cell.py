# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Candidate operations of the edges of a cell (`DARTS`_, section 3.1; SSNAS searches over them).

As in :mod:`nasiam_mm.ops.conv`, of as many channels out as in. BatchNorm has its affine map in the
search too, so that a derived network keeps its weights.

.. _DARTS: https://arxiv.org/abs/1806.09055
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from nasiam_mm.ops.candidates import CANDIDATE_OPS, operation_of
from nasiam_mm.ops.conv import conv
from nasiam_mm.ops.shapes import Shape


def _same_width(shape: Shape) -> bool:
    return shape.in_channels == shape.out_channels


class FactorizedReduce(nn.Module):
    """Halve the side by two 1x1 convolutions of stride 2, one a pixel off, side by side."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        half = out_channels // 2
        self.even = conv(in_channels, half, 1, 2)
        self.odd = conv(in_channels, out_channels - half, 1, 2)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C_in, H, W) to (N, C_out, ceil(H / 2), ceil(W / 2))."""
        x = x.relu()
        # Zeros beyond the rim.
        shifted = nn.functional.pad(x, (0, 1, 0, 1))[:, :, 1:, 1:]
        return self.norm(torch.cat([self.even(x), self.odd(shifted)], dim=1))


class Zero(nn.Module):
    """No edge: zeros of the output's shape."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to zeros (N, C, H', W')."""
        # With a graph: several processes wait for a gradient of all that was run.
        return x[:, :, :: self.stride, :: self.stride].mul(0.0)


def _separable(width: int, kernel: int, stride: int, dilation: int = 1) -> list[nn.Module]:
    """ReLU, a convolution of each channel, one of 1x1, BatchNorm."""
    depthwise = conv(width, width, kernel, stride, groups=width, dilation=dilation)
    return [nn.ReLU(), depthwise, conv(width, width, 1), nn.BatchNorm2d(width)]


def _sep_conv(width: int, stride: int, kernel: int) -> nn.Module:
    return nn.Sequential(*_separable(width, kernel, stride), *_separable(width, kernel, 1))


def _dil_conv(width: int, stride: int, kernel: int) -> nn.Module:
    return nn.Sequential(*_separable(width, kernel, stride, dilation=2))


def _max_pool(width: int, stride: int, kernel: int) -> nn.Module:
    return nn.Sequential(nn.MaxPool2d(kernel, stride, kernel // 2), nn.BatchNorm2d(width))


def _avg_pool(width: int, stride: int, kernel: int) -> nn.Module:
    pool = nn.AvgPool2d(kernel, stride, kernel // 2, count_include_pad=False)
    return nn.Sequential(pool, nn.BatchNorm2d(width))


def _register(name: str, block: Callable[[int, int, int], nn.Module], kernel: int) -> None:
    @CANDIDATE_OPS.register_module(name=name)
    @operation_of('maps', fits=_same_width)
    def build(in_channels: int, out_channels: int, stride: int = 1) -> nn.Module:
        return block(out_channels, stride, kernel)


for _kernel in (3, 5):
    _register(f'sep_conv_{_kernel}', _sep_conv, _kernel)
    _register(f'dil_conv_{_kernel}', _dil_conv, _kernel)
_register('max_pool_3x3', _max_pool, 3)
_register('avg_pool_3x3', _avg_pool, 3)


@CANDIDATE_OPS.register_module()
@operation_of('maps', fits=lambda shape: shape.stride == 2 and shape.out_channels > 1)
def factorized_reduce(in_channels: int, out_channels: int, stride: int = 2) -> nn.Module:
    """Return the skip of an edge that halves the side, where an identity is none."""
    return FactorizedReduce(in_channels, out_channels)


@CANDIDATE_OPS.register_module()
@operation_of('maps', fits=_same_width)
def none(in_channels: int, out_channels: int, stride: int = 1) -> nn.Module:
    """Return no edge."""
    return Zero(stride)
