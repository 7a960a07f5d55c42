# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Regularizers of the embeddings z of the held-out batch: heads that collapse cost more.

Both are means over the forward passes through ``model.embedding``, one for each view or for both,
and see the part of the batch that their process has. They compute in float32 at least, whatever
the networks do, and their gradients are finite for embeddings that are all alike or all zero.
"""

import torch
from torch import Tensor

from nasiam_mm.models.losses import in_float32, lift
from nasiam_mm.search.gradient.regularizers import REGULARIZERS, AlphaStep, Regularizer


class _OfEmbeddings(Regularizer):
    """A mean over the embeddings of a step."""

    def value(self, step: AlphaStep) -> Tensor:
        """Return the term, (); RuntimeError if the loss ran no ``model.embedding``."""
        if not step.embeddings:
            what = f'{type(step.model).__name__}.loss ran no model.embedding'
            raise RuntimeError(f'{what}, whose output {type(self).__name__} is about')
        terms = []
        for z in step.embeddings:
            with in_float32(z):
                terms.append(self.of(lift(z)))
        return sum(terms[1:], terms[0]) / len(terms)

    def of(self, z: Tensor) -> Tensor:
        """Return the term of embeddings (N, D), ()."""
        raise NotImplementedError


@REGULARIZERS.register_module()
class VarianceHinge(_OfEmbeddings):
    """How much less than a Gaussian's the spread of each channel is: ``mean(max(0, 1 - std))``.

    The hinge of `VICReg`_, eq. 1, on embeddings scaled as the collapse figures are
    (:func:`nasiam_mm.evaluation.collapse.channel_std`): each is L2-normalised and the std, divided
    by N, is multiplied by ``sqrt(D)``. 0 for no channel below 1, and 1 for collapsed embeddings.

    .. _VICReg: https://arxiv.org/abs/2105.04906
    """

    def of(self, z: Tensor) -> Tensor:
        """Return the term of embeddings (N, D), ()."""
        norm = z.norm(dim=1, keepdim=True)
        z = z / torch.where(norm > 0, norm, 1.0)
        # torch gives a std of 0 the gradient 0.
        return (1 - z.std(0, correction=0) * z.size(1) ** 0.5).clamp_min(0).mean()


@REGULARIZERS.register_module()
class LogRank(_OfEmbeddings):
    """Minus the logarithm of the effective rank of z: ``sum_i p_i log p_i`` (`RankMe`_, eq. 1).

    ``p_i = sigma_i / sum_j sigma_j + 1e-7`` with the singular values of z, neither centred nor
    normalised. It is an entropy with the sign turned: minimised, z spreads over more directions.
    To use it for alpha is this package's own proposal.

    .. _RankMe: https://arxiv.org/abs/2210.02885
    """

    def of(self, z: Tensor) -> Tensor:
        """Return the term of embeddings (N, D), ()."""
        # Float16 may overflow, for which the step is left out: an SVD would refuse the run.
        overflow = (z - z).sum()
        z = torch.where(z.isfinite(), z, 0.0)
        # The smaller Gram matrix in float64, several times faster than an SVD; in float32 it
        # would lose what is below 3e-4 of the largest singular value.
        wide = z.double()
        scale = wide.detach().abs().amax()
        wide = wide / torch.where(scale > 0, scale, 1.0)
        gram = wide @ wide.T if wide.size(0) <= wide.size(1) else wide.T @ wide
        squares = torch.linalg.eigvalsh(gram)
        rounding = squares[-1].detach() * len(gram) * torch.finfo(gram.dtype).eps
        # A root at 0 has no gradient: what is rounding is a constant 0.
        sigma = torch.where(squares > rounding, squares, 1.0).sqrt() * (squares > rounding)
        total = sigma.sum()
        p = sigma / torch.where(total > 0, total, 1.0) + 1e-7
        return (p * p.log()).sum().to(z.dtype) + overflow
