# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Cells: a chain of mixed layers to search, or of chosen operations to train.

Shapes: N batch, L layers, K operations of the space.
"""

from collections.abc import Sequence
from functools import reduce
from operator import add

import torch
from torch import Tensor, nn

from nasiam_mm.models.choice.layer import MixedLayer
from nasiam_mm.ops.candidates import LayerShape, build_op


class SearchCell(nn.Module):
    """Chain of mixed layers and the one owner of its architecture parameters.

    Args:
        space: Ordered names of registered operations, K of them.
        shapes: Widths of the L layers.
        fused: Whether linear maps of one input are computed together, see
            :class:`MixedLayer`.

    Attributes:
        alpha (nn.Parameter): (L, K), zeros at the start (uniform mixing). It asks
            for a gradient in the alpha step alone, so the weight step neither
            computes nor leaves one. Where candidates of a layer are one
            function, only the first position counts; the others have weight 0
            and never get a gradient.
        leader (SearchCell | None): The cell whose alpha a momentum copy follows.
    """

    def __init__(
        self, space: Sequence[str], shapes: Sequence[LayerShape], fused: bool = False
    ) -> None:
        super().__init__()
        self.space = tuple(space)
        self.shapes = tuple(shapes)
        self.layers = nn.ModuleList(
            MixedLayer(self.space, *shape, fused=fused) for shape in self.shapes
        )
        zeros = torch.zeros(len(self.shapes), len(self.space))
        self.alpha = nn.Parameter(zeros, requires_grad=False)
        absent = torch.ones_like(zeros, dtype=torch.bool)
        for row, layer in zip(absent, self.layers, strict=True):
            row[list(layer.candidates)] = False
        self.register_buffer('absent', absent, persistent=False)
        self.leader: SearchCell | None = None

    def follow(self, leader: 'SearchCell') -> None:
        """Mix with the weights of another cell from now on, and own no alpha.

        For the copy of a head inside a momentum encoder: its weights follow by
        moving average, its mixing weights are those of the moment.
        """
        del self.alpha
        # Past nn.Module's registration: the leader is no part of the follower.
        self.__dict__['leader'] = leader

    def mixing_weights(self) -> Tensor:
        """Softmax of alpha over the candidates present at each layer, (L, K)."""
        if self.leader is not None:
            return self.leader.mixing_weights()
        return self.alpha.masked_fill(self.absent, float('-inf')).softmax(dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C_in of the first layer) to (N, C_out of the last)."""
        for layer, weights in zip(self.layers, self.mixing_weights(), strict=True):
            x = layer(x, weights)
        return x


class GenotypeCell(nn.Module):
    """Chain of chosen operations; where a layer has two, their outputs add.

    Args:
        shapes: Widths of the layers.
        ops: Names of the one or two operations of each layer
            (NASiam, Algorithm 1 with and without ``edge``).
    """

    def __init__(self, shapes: Sequence[LayerShape], ops: Sequence[Sequence[str]]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.ModuleDict({name: build_op(name, *shape) for name in names})
            for shape, names in zip(shapes, ops, strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C_in of the first layer) to (N, C_out of the last)."""
        for layer in self.layers:
            x = reduce(add, [op(x) for op in layer.values()])
        return x
