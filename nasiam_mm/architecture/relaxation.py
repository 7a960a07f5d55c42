# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Relaxations: from alpha to the weights that mix a layer's candidates.

Registering a class is all it takes to search with another one (docs/extend/relaxation.md). Those
that draw candidates are in :mod:`nasiam_mm.architecture.sampling`.
"""

import torch
from torch import Tensor

from nasiam_mm.part_registry import open_registry

RELAXATIONS = open_registry('relaxation', 'nasiam_mm.architecture')


class Relaxation:
    """Map alpha to mixing weights, by noise drawn once a step where it ``is_stochastic``.

    Attributes:
        is_stochastic: Whether :meth:`sample` draws.
        samples_paths: Whether :meth:`paths` names fewer candidates than there are.
        moves_alpha: Whether the weights have a gradient to alpha.
        role: The step being taken, ``'alpha'`` or ``'weights'``; set when its noise is drawn.
    """

    is_stochastic = False
    samples_paths = False
    moves_alpha = True
    role = 'weights'

    def sample(self, noise: Tensor, generator: torch.Generator) -> None:
        """Draw the noise of one optimizer step in place, (L, K), on the CPU."""

    def weights(self, alpha: Tensor, present: Tensor, noise: Tensor | None) -> Tensor:
        """Relax the choices of a head: mixing weights, (L, K), zero where no candidate is.

        Args:
            alpha: Architecture parameters, (L, K).
            present: Whether each option is a candidate, (L, K), bool.
            noise: What :meth:`sample` drew, (L, K); None where nothing is drawn.
        """
        raise NotImplementedError

    def paths(self, alpha: Tensor, present: Tensor, noise: Tensor | None) -> Tensor:
        """Candidates that take part in the step, (L, K), bool: all whose weight counts."""
        return present

    def mean(self, alpha: Tensor, present: Tensor) -> Tensor:
        """Weights of no draw in particular, (L, K), for a record and for expected costs."""
        return self.weights(alpha, present, torch.zeros_like(alpha) if self.is_stochastic else None)

    def settle(self, alpha: Tensor, before: Tensor, paths: Tensor) -> None:
        """Correct alpha, (L, K), in place after its optimizer has moved it from ``before``."""


def masked_softmax(alpha: Tensor, present: Tensor) -> Tensor:
    """Softmax over the candidates of each layer, (L, K), zero elsewhere."""
    return alpha.masked_fill(~present, float('-inf')).softmax(dim=1)


def check_temperature(owner: object, temperature: float) -> float:
    """Return a temperature; ValueError unless it is a positive number."""
    number = isinstance(temperature, (int, float)) and not isinstance(temperature, bool)
    if not number or not 0 < temperature < float('inf'):
        what = f'{type(owner).__name__}.temperature must be a positive number'
        raise ValueError(f'{what}, got {temperature!r}')
    return float(temperature)


@RELAXATIONS.register_module()
class Softmax(Relaxation):
    """Softmax over the candidates of a layer (NASiam, eq. 4).

    Args:
        temperature: Divides alpha; a schedule may move it (``Temperature``).
    """

    def __init__(self, temperature: float = 1.0) -> None:
        self.temperature = check_temperature(self, temperature)

    def weights(self, alpha: Tensor, present: Tensor, noise: Tensor | None) -> Tensor:
        """Relax the choices of a head, see :class:`Relaxation`."""
        return masked_softmax(alpha / self.temperature, present)


@RELAXATIONS.register_module()
class Sigmoid(Relaxation):
    """A gate for each candidate (`FairDARTS <https://arxiv.org/abs/1911.12126>`_, eq. 3).

    The weights do not compete and do not sum to 1: the scale of a layer's output grows with the
    number of its candidates, which starts at half of it.
    """

    def weights(self, alpha: Tensor, present: Tensor, noise: Tensor | None) -> Tensor:
        """Relax the choices of a head, see :class:`Relaxation`."""
        return alpha.sigmoid().masked_fill(~present, 0.0)
