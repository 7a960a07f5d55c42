# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Relaxations that draw a candidate, or two, of each layer in every step.

With ``model.mixing=dict(type='SinglePath')`` the others are not even run. Gumbel noise g makes
``argmax(alpha + g)`` a draw from the softmax of alpha.
"""

from typing import Any

import torch
from torch import Tensor

from nasiam_mm.architecture.relaxation import (
    RELAXATIONS,
    Relaxation,
    check_temperature,
    masked_softmax,
)


class _Drawn(Relaxation):
    """One candidate a layer, at random."""

    is_stochastic = True
    samples_paths = True

    def sample(self, noise: Tensor, generator: torch.Generator) -> None:
        """Draw Gumbel noise in place, (L, K)."""
        noise.exponential_(generator=generator).log_().neg_()

    def paths(self, alpha: Tensor, present: Tensor, noise: Tensor | None) -> Tensor:
        """The candidate drawn at each layer, (L, K), bool."""
        return _largest(alpha + noise, present)

    def mean(self, alpha: Tensor, present: Tensor) -> Tensor:
        """Probabilities of the draw, (L, K)."""
        return masked_softmax(alpha, present)


@RELAXATIONS.register_module()
class GumbelStraightThrough(_Drawn):
    """One candidate forward, the gradient of a softmax back (`GDAS`_, eq. 3 to 5).

    The weights are 1 for ``argmax(alpha + g)`` and 0 elsewhere; their gradient is that of
    ``softmax((alpha + g) / temperature)``. Under ``SinglePath`` alpha hears of the candidate that
    ran alone, as in GDAS; under ``FullMixing`` of all (`Jang et al.`_).

    Args:
        temperature: Of that softmax; GDAS takes it from 10 to 0.1 (``Temperature``).

    .. _GDAS: https://arxiv.org/abs/1910.04465
    .. _Jang et al.: https://arxiv.org/abs/1611.01144
    """

    def __init__(self, temperature: float = 10.0) -> None:
        self.temperature = check_temperature(self, temperature)

    def weights(self, alpha: Tensor, present: Tensor, noise: Tensor | None) -> Tensor:
        """Relax the choices of a head, see :class:`Relaxation`."""
        logits = alpha + noise
        soft = masked_softmax(logits / self.temperature, present)
        # The bracket is exactly zero.
        return _largest(logits, present).to(soft.dtype) + (soft - soft.detach())


@RELAXATIONS.register_module()
class TwoPathGates(_Drawn):
    """Binary gates, of which an alpha step compares two (`ProxylessNAS`_, section 3.2, appendix D).

    A weight step runs one candidate, drawn by the softmax p of alpha. An alpha step draws two
    without replacement, opens one of them by their p renormalised, and takes
    ``dL/d alpha_i = sum_j dL/dg_j p_j (delta_ij - p_i)`` over the two, g the gates. After it the
    two are shifted together so that p of the others stays; give its optimizer no weight decay.

    .. _ProxylessNAS: https://arxiv.org/abs/1812.00332
    """

    def weights(self, alpha: Tensor, present: Tensor, noise: Tensor | None) -> Tensor:
        """Relax the choices of a head, see :class:`Relaxation`."""
        drawn = alpha + noise
        if self.role == 'weights':
            return _largest(drawn, present).to(alpha.dtype)
        two = self.paths(alpha, present, noise)
        pair = masked_softmax(alpha, two)
        # When the first arrives is independent of who does: a uniform number for the gate.
        top = drawn.detach().masked_fill(~present, float('-inf')).amax(1, keepdim=True)
        total = alpha.detach().masked_fill(~present, float('-inf')).logsumexp(1, keepdim=True)
        uniform = torch.exp(-torch.exp(total - top))
        first = two & (two.cumsum(1) == 1)
        is_first = uniform < (pair * first).sum(1, keepdim=True).detach()
        alone = two.sum(1, keepdim=True) == 1
        gate = torch.where(is_first | alone, first, two & ~first).to(pair.dtype)
        return gate + (pair - pair.detach())

    def paths(self, alpha: Tensor, present: Tensor, noise: Tensor | None) -> Tensor:
        """The candidate of a weight step, or the two of an alpha step, (L, K), bool."""
        one = _largest(alpha + noise, present)
        if self.role == 'weights':
            return one
        return one | _largest(alpha + noise, present & ~one) & present

    def settle(self, alpha: Tensor, before: Tensor, paths: Tensor) -> None:
        """Give the two the share of the whole that they had; the others did not move."""
        outside = ~paths
        shares = [a.masked_fill(outside, float('-inf')).logsumexp(1, keepdim=True)
                  for a in (before, alpha)]  # fmt: skip
        alpha.copy_(torch.where(paths, alpha + shares[0] - shares[1], before))


@RELAXATIONS.register_module()
class UniformSampling(_Drawn):
    """Every candidate as often as another (`SPOS`_, section 3.2): alpha has no part in it.

    The search trains the weights alone (``alpha_step.optimizer=None``) and a selection ranks
    genotypes by them (``BestOfSampled``).

    .. _SPOS: https://arxiv.org/abs/1904.00420
    """

    moves_alpha = False

    def weights(self, alpha: Tensor, present: Tensor, noise: Tensor | None) -> Tensor:
        """Relax the choices of a head, see :class:`Relaxation`."""
        return self.paths(alpha, present, noise).to(alpha.dtype)

    def paths(self, alpha: Tensor, present: Tensor, noise: Tensor | None) -> Tensor:
        """The candidate drawn at each layer, (L, K), bool."""
        return _largest(noise, present)

    def mean(self, alpha: Tensor, present: Tensor) -> Tensor:
        """Probabilities of the draw, (L, K)."""
        return present.to(alpha.dtype) / present.sum(1, keepdim=True)


def _largest(values: Any, present: Tensor) -> Tensor:
    """Mark the largest of each row among those present, the first of equals, (L, K), bool."""
    best = values.detach().masked_fill(~present, float('-inf')).argmax(1, keepdim=True)
    return torch.zeros_like(present).scatter_(1, best, True)
