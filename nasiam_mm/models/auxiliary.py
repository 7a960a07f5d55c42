# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Auxiliary branches: what a layer adds to its mixture while the search goes on."""

import torch
from torch import Tensor, nn

from nasiam_mm.ops.shapes import Shape
from nasiam_mm.part_registry import open_registry

AUXILIARIES = open_registry('auxiliary branch', 'nasiam_mm.models')


@AUXILIARIES.register_module()
class AuxiliarySkip(nn.Module):
    """A skip beside the candidates, ``y = beta x + sum_k w_k o_k(x)`` (`DARTS-`_, eq. 6).

    It takes from the identity among the candidates what it owes to training the others; beta goes
    from 1 to 0 (``AuxiliaryDecay``), and no genotype knows of it. Where the width changes x goes
    through a frozen linear map with orthonormal rows or columns: a chain has no other skip. Of maps
    it is that of each pixel, of every second where the layer halves them.

    Args:
        shape: Widths of the layer.

    .. _DARTS-: https://arxiv.org/abs/2009.01027
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.stride = shape.stride
        self.register_buffer('map', None)
        if shape.in_channels != shape.out_channels:
            self.map = nn.init.orthogonal_(torch.empty(shape.out_channels, shape.in_channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C_in) to (N, C_out)."""
        if x.dim() == 2:
            return x if self.map is None else nn.functional.linear(x, self.map)
        x = x[:, :, :: self.stride, :: self.stride]
        return x if self.map is None else nn.functional.conv2d(x, self.map[:, :, None, None])
