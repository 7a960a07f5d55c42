# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The space of DARTS' cells, which SSNAS and CSNAS search without labels."""

from collections.abc import Sequence
from operator import and_
from typing import Any

import torch
from torch import Tensor, nn

from nasiam_mm.architecture.cells import NO_EDGE, edges_into
from nasiam_mm.architecture.genotype import GenotypeError
from nasiam_mm.architecture.plan import BackbonePlan
from nasiam_mm.models.backbones.arguments import whole, wholes
from nasiam_mm.models.backbones.base import ChoiceBackbone
from nasiam_mm.models.choice import ChoiceCell, FixedCell
from nasiam_mm.ops.cell import FactorizedReduce
from nasiam_mm.ops.conv import conv
from nasiam_mm.ops.shapes import MapShape
from nasiam_mm.registry import MODELS


def _project(in_channels: int, out_channels: int) -> nn.Module:
    norm = nn.BatchNorm2d(out_channels)
    return nn.Sequential(nn.ReLU(), conv(in_channels, out_channels, 1), norm)


class Cell(nn.Module):
    """Nodes, each the sum of an operation on every node before it (`DARTS`_, eq. 1).

    The first two nodes are what the two cells before it gave, the output is the other ones side by
    side. Edges are in order: all into the first node, all into the second, and so on.

    .. _DARTS: https://arxiv.org/abs/1806.09055
    """

    def __init__(
        self, before: nn.Module, last: nn.Module, edges: ChoiceCell | FixedCell, nodes: int
    ) -> None:
        super().__init__()
        self.before, self.last, self.edges, self.nodes = before, last, edges, nodes

    def forward(self, before: Tensor, last: Tensor) -> Tensor:
        """Map the outputs of the two cells before, (N, C, H, W), to (N, nodes C', H', W')."""
        states, rows = [self.before(before), self.last(last)], self.edges.rows()
        edge = 0
        for _ in range(self.nodes):
            total = 0
            for state in list(states):
                total = total + self.edges.step(edge, state, rows[edge])  # type: ignore[arg-type]
                edge += 1
            states.append(total)
        return torch.cat(states[2:], dim=1)


@MODELS.register_module()
class ChoiceCells(ChoiceBackbone):
    """Normal cells of one form and reduction cells of another, the latter first in a stage.

    Choices: the operation ``op`` of every edge, ``'normal.3.op'`` and ``'reduction.3.op'``;
    ``'none'`` takes an edge away. All cells of a kind share them, and their alpha.

    Args:
        blocks: Cells of each stage.
        base_channels: Width of a node in the first stage; it doubles with each.
        nodes: Of a cell, beside its two inputs; DARTS has 4.
        img_size: Height and width of the images, pixels, which costs are counted at.
        **kwargs: Those of ``ChoiceBackbone``.
    """

    groups = ('normal', 'reduction')
    kinds = ('op',)

    def __init__(
        self,
        blocks: Sequence[int] = (2, 3, 3),
        base_channels: int = 16,
        nodes: int = 4,
        img_size: int = 32,
        **kwargs: Any,
    ) -> None:
        name = type(self).__name__
        wholes(name, blocks=blocks)
        whole(name, base_channels=base_channels, nodes=nodes, img_size=img_size)
        if len(blocks) < 2:
            raise ValueError(f'{name}.blocks must be of two stages or more, got {blocks!r}')
        self._nodes = nodes
        widths = [base_channels * 2**stage for stage in range(len(blocks))]
        strides = (1,) + (2,) * (len(blocks) - 1)
        plan = BackbonePlan(tuple(blocks), (3 * base_channels, *widths), strides, img_size)
        super().__init__(plan, **kwargs)

    def build(self) -> None:
        """Make stem and cells."""
        plan, nodes = self.plan, self._nodes
        given = plan.channels[0]
        self.stem = nn.Sequential(conv(3, given, 3), nn.BatchNorm2d(given))
        self.cells, before, last = nn.ModuleList(), given, given
        size, halved = plan.size, False
        for width, count, stride in zip(plan.channels[1:], plan.blocks, plan.strides, strict=True):
            for n in range(count):
                reduces = n == 0 and stride == 2
                group = 'reduction' if reduces else 'normal'
                first = FactorizedReduce(before, width) if halved else _project(before, width)
                edges = self.cell(group, self._edges(width, size, reduces))
                self._check_paths(group, edges)
                self.cells.append(Cell(first, _project(last, width), edges, nodes))
                before, last, halved = last, nodes * width, reduces
                size = -(-size // 2) if reduces else size

    def _check_paths(self, group: str, edges: ChoiceCell | FixedCell) -> None:
        """Refuse a cell that gives zeros whatever it is given, with a GenotypeError."""
        reached = [True, True]
        for into in edges_into(len(edges.layers)):
            kept = [any(name != NO_EDGE for name in edges.names(n)) for n in into]
            reached.append(any(map(and_, kept, reached)))
        if not any(reached[2:]):
            what = f"no edge of the {group} cell leads from what it is given to a node but 'none'"
            raise GenotypeError(f'{what}: it gives zeros; decide an operation at one of them')

    def _edges(self, width: int, size: int, reduces: bool) -> tuple[MapShape, ...]:
        shapes = []
        for node in range(self._nodes):
            for source in range(2 + node):
                # What comes from another node of the cell was halved already.
                stride = 2 if reduces and source < 2 else 1
                side = -(-size // 2) if reduces and source >= 2 else size
                shapes.append(MapShape(width, width, stride, side))
        return tuple(shapes)

    def shapes_of(self, plan: BackbonePlan) -> dict[str, tuple[MapShape, ...]]:
        """Edges of the first cell of each kind."""
        first, second = plan.channels[1:3]
        return {
            'normal': self._edges(first, plan.size, False),
            'reduction': self._edges(second, plan.size, True),
        }

    def stage_channels(self) -> tuple[int, ...]:
        """Width of what each stage gives."""
        return tuple(self._nodes * width for width in self.plan.channels[1:])

    def parts_of_stage(self, stage: int) -> list[nn.Module]:
        """Cells of a stage; the stem for -1."""
        if stage < 0:
            return [self.stem]
        first = sum(self.plan.blocks[:stage])
        return list(self.cells)[first : first + self.plan.blocks[stage]]

    def default_op(self, shape: MapShape) -> str:
        """Operation of an edge of which nothing is decided."""
        return 'sep_conv_3'

    def every_stage(self, x: Tensor) -> list[Tensor]:
        """Map images, (N, 3, H, W), to what all stages give."""
        before = last = self.stem(x)
        maps, cells = [], iter(self.cells)
        for count in self.plan.blocks:
            for _ in range(count):
                before, last = last, next(cells)(before, last)
            maps.append(last)
        return maps
