# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Cells: a chain of layers whose operation is a choice, or of operations that were chosen.

Shapes: N batch, L layers, K operations of the space.
"""

from collections.abc import Sequence
from functools import reduce
from operator import add

from torch import Tensor, nn

from nasiam_mm.architecture.alpha import Architecture
from nasiam_mm.architecture.genotype import Decision
from nasiam_mm.models.choice.layer import ChoiceLayer
from nasiam_mm.ops.candidates import LayerShape, build_op, candidate_labels


class _Source:
    """Where a cell reads its weights: outside the module tree, so that nothing is saved twice.

    A copy of a head alone (a momentum encoder's) goes on reading from the same
    place; one made with the whole model reads from the model's own copy.
    """

    def __init__(self, architecture: Architecture | None = None) -> None:
        self.architecture = architecture

    def __deepcopy__(self, memo: dict) -> '_Source':
        return _Source(memo.get(id(self.architecture), self.architecture))


class ChoiceCell(nn.Module):
    """Chain of choice layers; the mixing weights are the algorithm's ``Architecture``'s.

    Args:
        head: Name of the head it is of, by which it reads its weights.
        space: Ordered names of registered operations, K of them.
        shapes: Widths of the L layers.
        fused: Whether linear maps of one input are computed together, see
            :class:`ChoiceLayer`.
    """

    def __init__(
        self, head: str, space: Sequence[str], shapes: Sequence[LayerShape], fused: bool = False
    ) -> None:
        super().__init__()
        self.head = head
        self.space = tuple(space)
        self.shapes = tuple(shapes)
        self.layers = nn.ModuleList(ChoiceLayer(self.space, shape, fused) for shape in self.shapes)
        self.source = _Source()

    def bind(self, architecture: Architecture) -> None:
        """Read the mixing weights from there from now on."""
        self.source = _Source(architecture)

    def mixing_weights(self) -> Tensor:
        """Mixing weights of this step, (L, K).

        Raises:
            RuntimeError: If no algorithm has bound the cell.
        """
        if self.source.architecture is None:
            raise RuntimeError(
                f'the {self.head} to search belongs to no algorithm that owns its alpha; use one '
                "of nasiam_mm's, or derive yours from nasiam_mm.models.Searched"
            )
        return self.source.architecture.weights(self.head)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C_in of the first layer) to (N, C_out of the last)."""
        for layer, weights in zip(self.layers, self.mixing_weights(), strict=True):
            x = layer(x, weights)
        return x


class FixedCell(nn.Module):
    """Chain of chosen operations; where a layer has several, their outputs add.

    Options that are one function at a layer's widths are one operation there.

    Args:
        shapes: Widths of the layers.
        decisions: What was decided at each layer.
    """

    def __init__(self, shapes: Sequence[LayerShape], decisions: Sequence[Decision]) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        for shape, decision in zip(shapes, decisions, strict=True):
            labels = candidate_labels(decision.options, shape)
            names = dict.fromkeys(labels[option] for option in decision.chosen)
            self.layers.append(nn.ModuleDict({name: build_op(name, *shape) for name in names}))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C_in of the first layer) to (N, C_out of the last)."""
        for layer in self.layers:
            x = reduce(add, [op(x) for op in layer.values()])
        return x
