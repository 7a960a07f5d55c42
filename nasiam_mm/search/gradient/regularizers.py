# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Regularizers of alpha: what an alpha step minimises besides the loss of the held-out batch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from nasiam_mm.architecture.alpha import Architecture
from nasiam_mm.part_registry import build_parts, open_registry

REGULARIZERS = open_registry('regularizer', 'nasiam_mm.search')


@dataclass(frozen=True)
class AlphaStep:
    """What a regularizer sees of an alpha step.

    Attributes:
        model: The algorithm.
        architecture: The owner of alpha.
        loss: Loss of the held-out batch, (), with its graph.
        embeddings: z of each forward pass through ``model.embedding``, (N, D), with their graph.
        progress: Share of the search that is done, from 0 to 1.
    """

    model: nn.Module
    architecture: Architecture
    loss: Tensor
    embeddings: Sequence[Tensor]
    progress: float


class Regularizer:
    """A term of the loss of an alpha step.

    Args:
        weight: Factor on the term.
    """

    def __init__(self, weight: float) -> None:
        number = isinstance(weight, (int, float)) and not isinstance(weight, bool)
        if not number or not 0 <= weight < float('inf'):
            what = f'{type(self).__name__}.weight must be a number from 0 up, got {weight!r}'
            raise ValueError(what)
        self.weight = float(weight)

    def check(self, model: nn.Module) -> None:
        """Raise ValueError at the start of a run whose model the term is not for."""

    def factor(self, progress: float) -> float:
        """Factor on the term where this share of the search, from 0 to 1, is done."""
        return self.weight

    def value(self, step: AlphaStep) -> Tensor:
        """Return the term, (), with a gradient to alpha."""
        raise NotImplementedError


class Penalties:
    """The sum of several regularizers, for one alpha step after another.

    ``values`` are those of the last step, (), detached, by the name of their class, a second one's
    as ``Name#2``.
    """

    def __init__(self, configs: Sequence[Mapping]) -> None:
        where = 'alpha_step.regularizers'
        self.terms: list[Regularizer] = build_parts(REGULARIZERS, configs, where)
        kinds = [type(term).__name__ for term in self.terms]
        alike = [kinds[:n].count(kind) for n, kind in enumerate(kinds)]
        self.names = [f'{k}#{n + 1}' if n else k for k, n in zip(kinds, alike, strict=True)]
        self.values: dict[str, Tensor] = {}

    def check(self, model: nn.Module, moves_alpha: bool) -> None:
        """Raise ValueError at the start of a run that a term cannot serve."""
        if self.terms and not moves_alpha:
            what = f'the regularizer {self.names[0]} moves nothing'
            raise ValueError(f'{what}: alpha has no optimizer; take it away')
        for term in self.terms:
            term.check(model)

    def of(self, model: nn.Module, architecture: Architecture, progress: float):
        """Return what :func:`alpha_gradients` adds to its loss; None where that is nothing."""
        # A term of factor 0 is left out: infinite or not, it is none.
        terms = zip(self.names, self.terms, strict=True)
        factors = [(name, term, term.factor(progress)) for name, term in terms]
        active = [(name, term, factor) for name, term, factor in factors if factor]
        self.values = {}
        if not active:
            return None

        def penalty(loss: Tensor, embeddings: Sequence[Tensor]) -> Tensor:
            step = AlphaStep(model, architecture, loss, embeddings, progress)
            total = 0.0
            for name, term, factor in active:
                value = factor * term.value(step)
                self.values[name] = value.detach()
                total = total + value
            return total

        return penalty


@REGULARIZERS.register_module()
class BetaDecay(Regularizer):
    """Mean over the layers of logsumexp of alpha (`beta-DARTS`_, eq. 10), its weight ramped up.

    The factor rises from 0 to ``weight`` over the search. Under Adam what counts is its gradient,
    ``softmax(alpha) / L``, relative to that of the loss.

    .. _beta-DARTS: https://arxiv.org/abs/2203.01665
    """

    def __init__(self, weight: float = 50.0) -> None:
        super().__init__(weight)

    def factor(self, progress: float) -> float:
        """Factor on the term where this share of the search, from 0 to 1, is done."""
        return self.weight * progress

    def value(self, step: AlphaStep) -> Tensor:
        """Return the term, ()."""
        total, layers = 0.0, 0
        for head in step.architecture.choices:
            absent = ~step.architecture.present(head)
            alpha = step.architecture.alpha(head).masked_fill(absent, float('-inf'))
            total, layers = total + alpha.logsumexp(1).sum(), layers + len(alpha)
        return total / layers
