# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Layers whose operation is a choice, cells (chains) of them, and cells of what was chosen.

Shapes: N batch, L layers, K operations of the space. Of a backbone's layers (N, C_in) stands for
(N, C_in, H, W).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import torch
from torch import Tensor, nn

from nasiam_mm.architecture.alpha import Architecture
from nasiam_mm.architecture.genotype import Decision
from nasiam_mm.models.auxiliary import AUXILIARIES
from nasiam_mm.models.mixing import MIXINGS, FullMixing, Mixing
from nasiam_mm.models.seeds import own_stream
from nasiam_mm.ops.candidates import build_at, candidate_labels, distinct_candidates
from nasiam_mm.ops.shapes import Shape
from nasiam_mm.part_registry import build_part


class ChoiceLayer(nn.Module):
    """``o(x) = sum_k w_k * o_k(x)`` over the distinct candidates of a layer (NASiam, eq. 4).

    The weights are an argument: the layer owns no architecture parameter.

    Args:
        space: Ordered names of registered operations, K of them.
        shape: Widths of the layer.
        fused: Whether the candidates that begin with a linear map of the input share one matrix
            product. Same parameters; outputs agree to float32 rounding.
        mixing: Which candidates are run on which channels; None for all on all.

    ValueError where the mixing leaves a candidate channels that it does not fit.
    """

    def __init__(
        self,
        space: Sequence[str],
        shape: Shape,
        fused: bool = False,
        mixing: Mixing | None = None,
    ) -> None:
        super().__init__()
        self.shape, self.mixing = shape, mixing or FullMixing()
        inner = self.mixing.inner(shape)
        self.candidates = distinct_candidates(space, inner)
        if inner != shape and self.candidates != distinct_candidates(space, shape):
            what = f'{type(self.mixing).__name__} leaves candidates {inner.in_channels} channels'
            mend = 'where not all of them fit; take more channels or a smaller k'
            raise ValueError(f'model.mixing: {what} of {shape.in_channels}, {mend}')
        names = self.candidates.values()
        self.ops = nn.ModuleDict({name: build_at(name, inner) for name in names})
        linear_first = [name for name, op in self.ops.items() if _begins_linear(op)]
        self.sharing = linear_first if fused and len(linear_first) > 1 else []

    def forward(
        self,
        x: Tensor,
        weights: Tensor,
        running: Sequence[int] | None = None,
        drop_out: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Mix (N, C_in) to (N, C_out).

        Args:
            x: Input, (N, C_in).
            weights: Mixing weights (K,) by position in the space.
            running: Positions of the candidates to run; None for all.
            drop_out: Applied to the output of an identity, (N, C_out).
        """

        def run(x: Tensor) -> Tensor:
            names = {k: self.candidates[k] for k in running or self.candidates}
            outputs = self._mapped_together(x, names.values()) if self.sharing else {}
            for name in names.values():
                if name not in outputs:
                    outputs[name] = self.ops[name](x)
                    if drop_out is not None and _is_identity(self.ops[name]):
                        outputs[name] = drop_out(outputs[name])
            return reduce(add, (weights[k] * outputs[name] for k, name in names.items()))

        return self.mixing.mix(x, run, self.shape)

    def _mapped_together(self, x: Tensor, names: Iterable[str]) -> dict[str, Tensor]:
        """Outputs of the candidates whose linear maps are one matrix product."""
        sharing = [name for name in names if name in self.sharing]
        if len(sharing) < 2:
            return {}
        maps = [self.ops[name][0] for name in sharing]
        weights = torch.stack([linear.weight for linear in maps])
        products = torch.bmm(x.expand(len(maps), *x.shape), weights.mT)
        outputs = {}
        for name, linear, output in zip(sharing, maps, products, strict=True):
            output = output if linear.bias is None else output + linear.bias
            for layer in list(self.ops[name])[1:]:
                output = layer(output)
            outputs[name] = output
        return outputs


def _is_identity(op: nn.Module) -> bool:
    return isinstance(op, nn.Identity) or (type(op) is nn.Sequential and len(op) == 0)


def _begins_linear(op: nn.Module) -> bool:
    return type(op) is nn.Sequential and len(op) > 0 and type(op[0]) is nn.Linear


@dataclass
class _Source:
    """Where a cell reads its weights: outside the module tree, so that nothing is saved twice.

    A copy of a head alone (a momentum encoder's) goes on reading from the same place; one made
    with the whole model reads from the model's own copy.
    """

    architecture: Architecture | None = None

    def __deepcopy__(self, memo: dict) -> '_Source':
        return _Source(memo.get(id(self.architecture), self.architecture))


class ChoiceCell(nn.Module):
    """Chain of choice layers; the mixing weights are the algorithm's ``Architecture``'s.

    Args:
        head: Name of the head it is of, by which it reads its weights.
        space: Ordered names of registered operations, K of them.
        shapes: Widths of the L layers.
        fused: See :class:`ChoiceLayer`.
        mixing: Config of a registered mixing; None for ``FullMixing``.
        auxiliary: Config of a registered branch beside every layer; None for none.
    """

    def __init__(
        self,
        head: str,
        space: Sequence[str],
        shapes: Sequence[Shape],
        fused: bool = False,
        mixing: dict | None = None,
        auxiliary: dict | None = None,
    ) -> None:
        super().__init__()
        self.head, self.space, self.shapes = head, tuple(space), tuple(shapes)
        mixing = dict(type='FullMixing') if mixing is None else mixing
        self.mixing: Mixing = build_part(MIXINGS, mixing, 'model.mixing')
        self.layers = nn.ModuleList(
            ChoiceLayer(self.space, shape, fused, self.mixing) for shape in self.shapes
        )
        self.auxiliaries: nn.ModuleList | None = None
        if auxiliary is not None:
            # A stream of its own: the candidates begin as they would without it.
            with own_stream(f'{head}.auxiliary'):
                self.auxiliaries = nn.ModuleList(
                    build_part(AUXILIARIES, auxiliary, 'model.auxiliary', shape=shape)
                    for shape in shapes
                )
        self.source = _Source()

    def bind(self, architecture: Architecture) -> None:
        """Read the mixing weights from there from now on."""
        self.source = _Source(architecture)

    @property
    def architecture(self) -> Architecture:
        """The owner of alpha; RuntimeError if no algorithm has bound the cell."""
        if self.source.architecture is None:
            mend = "use one of nasiam_mm's, or derive yours from nasiam_mm.models.Searched"
            raise RuntimeError(f'the {self.head} to search belongs to no algorithm; {mend}')
        return self.source.architecture

    def mixing_weights(self) -> Tensor:
        """Mixing weights of this step, (L, K)."""
        return self.architecture.weights(self.head)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C_in of the first layer) to (N, C_out of the last)."""
        for n, row in enumerate(self.rows()):
            x = self.step(n, x, row)
        return x

    def rows(self) -> list[tuple[Tensor, Sequence[int]]]:
        """Mixing weights, (K,), and the candidates to run of each layer, for one forward pass."""
        running = self.architecture.running(self.head)
        return list(zip(self.mixing_weights(), running, strict=True))

    def names(self, n: int) -> list[str]:
        """Operations of layer n: its candidates."""
        return list(self.layers[n].candidates.values())

    def step(self, n: int, x: Tensor, row: tuple[Tensor, Sequence[int]]) -> Tensor:
        """Run layer n with its row: (N, C_in) to (N, C_out)."""
        owner = self.architecture
        y = self.layers[n](x, *row, owner.drop_out)
        if self.auxiliaries is not None and owner.auxiliary:
            y = y + owner.auxiliary * self.auxiliaries[n](x)
        return y


class FixedCell(nn.Module):
    """Chain of what was decided at each layer; where it is several operations, their outputs add.

    Options that are one function at a layer's widths are one operation there. Layers beyond the
    decisions are what ``build_rest`` makes of their widths; without any layer it is the identity.
    """

    def __init__(
        self,
        shapes: Sequence[Shape],
        decisions: Sequence[Decision],
        build_rest: Callable[[Shape], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        decided = shapes if build_rest is None else shapes[: len(decisions)]
        self.layers = nn.ModuleList()
        for shape, decision in zip(decided, decisions, strict=True):
            labels = candidate_labels(decision.options, shape)
            names = dict.fromkeys(labels[option] for option in decision.chosen)
            self.layers.append(nn.ModuleDict({name: build_at(name, shape) for name in names}))
        for shape in shapes[len(decided) :]:
            self.layers.append(nn.ModuleDict({'hidden': build_rest(shape)}))  # type: ignore[misc]

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C_in of the first layer) to (N, C_out of the last)."""
        for n in range(len(self.layers)):
            x = self.step(n, x)
        return x

    def rows(self) -> list[None]:
        """Return what :meth:`step` takes beside the input: nothing."""
        return [None] * len(self.layers)

    def names(self, n: int) -> list[str]:
        """Operations of layer n, whose outputs add."""
        return list(self.layers[n])

    def step(self, n: int, x: Tensor, row: None = None) -> Tensor:
        """Run layer n: (N, C_in) to (N, C_out)."""
        return reduce(add, [op(x) for op in self.layers[n].values()])
