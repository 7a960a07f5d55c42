# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A relaxation of one's own: Gumbel-softmax (https://arxiv.org/abs/1611.01144).

Name the file in the recipe's ``custom_imports`` and set
``model.relaxation=dict(type='Gumbel', temperature=0.5)``.
"""

import torch

from nasiam_mm.architecture.relaxation import RELAXATIONS, Relaxation


@RELAXATIONS.register_module(force=True)
class Gumbel(Relaxation):
    """Softmax of alpha and Gumbel noise.

    Args:
        temperature: By which alpha and noise are divided.
    """

    is_stochastic = True

    def __init__(self, temperature=1.0):
        self.temperature = temperature

    def sample(self, noise, generator):
        """Draw Gumbel(0, 1) noise in place."""
        noise.exponential_(generator=generator).log_().neg_()

    def weights(self, alpha, present, noise):
        """Relax the choices of a head."""
        return ((alpha + noise) / self.temperature).masked_fill(~present, -torch.inf).softmax(dim=1)
