# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Shapes of the layers that operations stand in: of vectors in heads, of maps in backbones."""

from collections.abc import Sequence
from typing import Any, NamedTuple


class LayerShape(NamedTuple):
    """Widths of a layer of vectors, and whether it is an output without BN and activation."""

    in_channels: int
    out_channels: int
    is_output: bool = False

    @property
    def kind(self) -> str:
        """What it is of: of vectors, which operations of maps do not take."""
        return 'vectors'

    @property
    def stride(self) -> int:
        """None: vectors have no side."""
        return 1

    @property
    def settings(self) -> dict[str, Any]:
        """What a builder is told beside the widths."""
        return {'is_output': self.is_output}

    @property
    def taken(self) -> tuple[int, ...]:
        """Shape of two inputs."""
        return 2, self.in_channels

    @property
    def given(self) -> tuple[int, ...]:
        """Shape of what a layer makes of them."""
        return 2, self.out_channels


class MapShape(NamedTuple):
    """Widths of a layer of feature maps, its stride, and height and width of its input, pixels."""

    in_channels: int
    out_channels: int
    stride: int = 1
    size: int = 8

    @property
    def kind(self) -> str:
        """What it is of: of maps, which operations of vectors do not take."""
        return 'maps'

    @property
    def is_output(self) -> bool:
        """Whether it has no BatchNorm and no activation: no layer of maps."""
        return False

    @property
    def settings(self) -> dict[str, Any]:
        """What a builder is told beside the widths."""
        return {'stride': self.stride}

    @property
    def taken(self) -> tuple[int, ...]:
        """Shape of two inputs."""
        return 2, self.in_channels, self.size, self.size

    @property
    def given(self) -> tuple[int, ...]:
        """Shape of what a layer makes of them."""
        side = -(-self.size // self.stride)
        return 2, self.out_channels, side, side


Shape = LayerShape | MapShape


def shape_of(row: Sequence[Any]) -> Shape:
    """Return the shape that a genotype's ``decided_at`` holds as a list of three or four."""
    return LayerShape(*row) if len(row) == 3 else MapShape(*row)


def keeps_shape(shape: Shape) -> bool:
    """Whether a layer gives what it takes the shape of: where an identity is one."""
    return shape.in_channels == shape.out_channels and shape.stride == 1
