# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Mixed layer: a weighted sum of candidate operations (NASiam, eq. 4)."""

from collections.abc import Sequence
from functools import reduce
from operator import add

from torch import Tensor, nn

from nasiam_mm.space.ops import build_op, distinct_candidates


class MixedLayer(nn.Module):
    """``o(x) = sum_k w_k * o_k(x)`` over the distinct candidates of a layer.

    The weights are an argument: the layer owns no architecture parameter.

    Args:
        space: Ordered names of registered operations, K of them.
        in_channels: Width of the input, (N, in_channels).
        out_channels: Width of the output, (N, out_channels).
        is_output: Whether the layer carries no BatchNorm and no activation.
    """

    def __init__(
        self, space: Sequence[str], in_channels: int, out_channels: int, is_output: bool = False
    ) -> None:
        super().__init__()
        self.candidates = distinct_candidates(space, in_channels, out_channels, is_output)
        self.ops = nn.ModuleDict(
            {
                name: build_op(name, in_channels, out_channels, is_output)
                for name in self.candidates.values()
            }
        )

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        """Mix the candidates.

        Args:
            x: Input, (N, in_channels).
            weights: Mixing weights by position in the space, (K,).

        Returns:
            Tensor: Mixed output, (N, out_channels).
        """
        outputs = (weights[k] * self.ops[name](x) for k, name in self.candidates.items())
        return reduce(add, outputs)
