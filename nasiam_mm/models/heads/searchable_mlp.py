# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Projector or predictor to be searched (NASiam, section 3.1)."""

from collections.abc import Sequence

from nasiam_mm.models.choice.cell import SearchCell
from nasiam_mm.models.heads.head_mlp import HeadMLP
from nasiam_mm.ops.candidates import layer_shapes
from nasiam_mm.registry import MODELS


@MODELS.register_module()
class SearchableMLP(HeadMLP):
    """MLP whose layers mix the operations of a space.

    Args:
        cell: What the cell is called in the genotype: ``'projector'`` (C_e) or
            ``'predictor'`` (C_p).
        space: Ordered names of registered operations.
        in_channels: Width of the input.
        widths: Output width of each layer of the cell.
        plain_output: Whether the last layer of the cell carries no BatchNorm
            and no activation (the predictor's).
        fused: Whether candidates that begin with a linear map of the same input
            share one matrix product, which differs from one each by float32
            rounding.
        **kwargs: Output layer and pooling, see :class:`HeadMLP`.

    Raises:
        ValueError: If an operation is not registered or a width cannot be.
    """

    def __init__(
        self,
        cell: str,
        space: Sequence[str],
        in_channels: int,
        widths: Sequence[int],
        plain_output: bool = False,
        fused: bool = False,
        **kwargs,
    ) -> None:
        shapes = layer_shapes(in_channels, widths, plain_output)
        super().__init__(SearchCell(space, shapes, fused), shapes[-1].out_channels, **kwargs)
        self.cell_name = cell
