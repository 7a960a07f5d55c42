# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Choice layer: a weighted sum of candidate operations (NASiam, eq. 4)."""

from collections.abc import Iterator, Sequence
from functools import reduce
from operator import add

import torch
from torch import Tensor, nn

from nasiam_mm.ops.candidates import LayerShape, build_op, distinct_candidates


class ChoiceLayer(nn.Module):
    """``o(x) = sum_k w_k * o_k(x)`` over the distinct candidates of a layer.

    The weights are an argument: the layer owns no architecture parameter.

    Args:
        space: Ordered names of registered operations, K of them.
        shape: Widths of the layer.
        fused: Whether the candidates that begin with a linear map of the input
            share one matrix product. Same parameters; outputs agree to float32
            rounding.
    """

    def __init__(self, space: Sequence[str], shape: LayerShape, fused: bool = False) -> None:
        super().__init__()
        self.candidates = distinct_candidates(space, shape)
        self.ops = nn.ModuleDict(
            {name: build_op(name, *shape) for name in self.candidates.values()}
        )
        linear_first = [name for name, op in self.ops.items() if _begins_linear(op)]
        self.sharing = linear_first if fused and len(linear_first) > 1 else []

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        """Mix the candidates.

        Args:
            x: Input, (N, in_channels).
            weights: Mixing weights by position in the space, (K,).

        Returns:
            Tensor: Mixed output, (N, out_channels).
        """
        outputs = dict(self._mapped_together(x)) if self.sharing else {}
        outputs |= {name: op(x) for name, op in self.ops.items() if name not in outputs}
        return reduce(add, (weights[k] * outputs[name] for k, name in self.candidates.items()))

    def _mapped_together(self, x: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Yield the outputs of the candidates whose linear maps are one matrix product."""
        maps = [self.ops[name][0] for name in self.sharing]
        weights = torch.stack([linear.weight for linear in maps])
        products = torch.bmm(x.expand(len(maps), *x.shape), weights.mT)
        for name, linear, output in zip(self.sharing, maps, products, strict=True):
            output = output if linear.bias is None else output + linear.bias
            for layer in list(self.ops[name])[1:]:
                output = layer(output)
            yield name, output


def _begins_linear(op: nn.Module) -> bool:
    return type(op) is nn.Sequential and len(op) > 0 and type(op[0]) is nn.Linear
