# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Relaxations: from alpha to the weights that mix a layer's candidates.

Registering a class is all it takes to search with another one (docs/extend/relaxation.md).
"""

import torch
from mmengine.registry import Registry
from torch import Tensor

RELAXATIONS = Registry('relaxation', scope='nasiam_mm', locations=['nasiam_mm.architecture'])


class Relaxation:
    """Map alpha to mixing weights, by noise drawn once a step where it ``is_stochastic``."""

    is_stochastic = False

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


@RELAXATIONS.register_module()
class Softmax(Relaxation):
    """Softmax over the candidates of a layer (NASiam, eq. 4)."""

    def weights(self, alpha: Tensor, present: Tensor, noise: Tensor | None) -> Tensor:
        """Relax the choices of a head, see :class:`Relaxation`."""
        return alpha.masked_fill(~present, float('-inf')).softmax(dim=1)
