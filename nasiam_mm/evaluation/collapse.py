# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""How collapsed a batch of embeddings, (N, D) with N >= 2, is: spread and effective rank."""

import torch
import torch.nn.functional as F
from torch import Tensor

from nasiam_mm.evaluation.checks import check_features


def channel_std(z: Tensor) -> Tensor:
    """Spread of the L2-normalised embeddings relative to an isotropic Gaussian's, float64 scalar.

    ``sqrt(D) * mean over channels of std over the batch of z / ||z||_2``: 1 for an isotropic
    Gaussian, 0 when every embedding points the same way ("Exploring Simple Siamese Representation
    Learning", Chen & He, CVPR 2021, section 4.1 and figure 2, where the std itself is drawn
    against 1/sqrt(d)). The std is divided by N. ValueError unless all is finite and N >= 2.
    """
    check_features('embeddings', z, rows=2)
    z = F.normalize(z.double())
    return z.std(0, correction=0).mean() * z.size(1) ** 0.5


def effective_rank(z: Tensor) -> Tensor:
    """Exponential of the entropy of the normalised singular values of ``z``, float64 scalar.

    ``exp(-sum_i p_i log p_i)``, ``p_i = sigma_i / sum_j sigma_j`` ("The effective rank", Roy &
    Vetterli, EUSIPCO 2007; on embeddings "RankMe", Garrido et al., ICML 2023, which adds 1e-7 to
    each p). Neither centred nor normalised: min(N, D) for orthogonal rows or columns of equal
    length, 1 when all are parallel, 0 when all are zero. ValueError as :func:`channel_std`.

    The singular values are the roots of the eigenvalues of the smaller Gram matrix in float64,
    faster than an SVD; those below its rounding count as 0.
    """
    check_features('embeddings', z, rows=2)
    return entropy_rank(singular_values(z.double()))


def singular_values(z: Tensor) -> Tensor:
    """Singular values of a float64 matrix by its largest entry, (min(N, D),), ascending.

    Those that the eigenvalues of the smaller Gram matrix do not tell from rounding are 0.
    """
    # Without this, squares of very small or very large embeddings leave the range of float64.
    z = z / z.abs().max().clamp_min(torch.finfo(z.dtype).tiny)
    gram = z @ z.T if z.size(0) <= z.size(1) else z.T @ z
    eigenvalues = torch.linalg.eigvalsh(gram)  # ascending
    rounding = eigenvalues[-1] * len(gram) * torch.finfo(z.dtype).eps
    return eigenvalues.where(eigenvalues > rounding, 0).sqrt()


def entropy_rank(weights: Tensor, eps: float = 0.0) -> Tensor:
    """Exponential of the entropy of ``weights / sum + eps``, (): 0 where all weights are 0."""
    total = weights.sum()
    return torch.special.entr(weights / total + eps).sum().exp().where(total > 0, 0)
