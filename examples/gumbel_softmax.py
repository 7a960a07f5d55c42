"""A relaxation of your own: Gumbel noise, drawn once a step."""

import torch
from torch import Tensor

from nasiam_mm.architecture.relaxation import RELAXATIONS, Relaxation


@RELAXATIONS.register_module()
class GumbelSoftmax(Relaxation):
    """Softmax of alpha and Gumbel noise (`Maddison et al. <https://arxiv.org/abs/1611.00712>`_).

    Args:
        temperature: Of the softmax.
    """

    is_stochastic = True

    def __init__(self, temperature: float = 1.0) -> None:
        self.temperature = temperature

    def sample(self, noise: Tensor, generator: torch.Generator) -> None:
        """Draw Gumbel noise in place, (L, K)."""
        noise.exponential_(generator=generator).log_().neg_()

    def weights(self, alpha: Tensor, present: Tensor, noise: Tensor | None) -> Tensor:
        """Relax the choices of a head, (L, K)."""
        logits = (alpha + noise) / self.temperature
        return logits.masked_fill(~present, float('-inf')).softmax(dim=1)
