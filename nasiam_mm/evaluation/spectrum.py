# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""How many directions features use: RankMe, LiDAR, alpha-ReQ. Float64 scalars, no labels.

Shapes: N images, D feature width, q views an image. What has collapsed is given the worst value,
never NaN: a rank of at most about 1, a decay without end.
"""

import math

import torch
from torch import Tensor

from nasiam_mm.evaluation.centred import ROUNDING, centred
from nasiam_mm.evaluation.checks import check_features
from nasiam_mm.evaluation.collapse import entropy_rank, singular_values

_EPS = 1e-7  # added to each share, as RankMe's authors do


def rankme(features: Tensor) -> Tensor:
    """RankMe of features, (N, D): how many directions they use, from 1 to about min(N, D).

    ``exp(-sum_i p_i log p_i)``, ``p_i = sigma_i / sum_j sigma_j + 1e-7`` of the singular values,
    neither centred nor normalised ("RankMe", Garrido et al., ICML 2023, section 3): that of
    :func:`effective_rank` but for the 1e-7, which is a factor of at most exp(2e-6 min(N, D)).
    0 where all is 0. ValueError unless all is finite and N >= 2.
    """
    check_features('features', features, rows=2)
    return entropy_rank(singular_values(features.double()), _EPS)


def lidar(views: Tensor, delta: float = 1e-4) -> Tensor:
    """LiDAR of views, (n, q, D): how many directions tell images apart, from 1 to min(n - 1, D).

    The effective rank of ``S_w^-1/2 S_b S_w^-1/2`` by its eigenvalues, 1e-7 added to each share
    ("LiDAR", Thilak et al., ICLR 2024, section 4): S_b is the covariance of the n images' means,
    divided by n - 1, S_w that of views about the mean of their image, divided by n (q - 1), plus
    ``delta`` times the identity. Unlike RankMe's, a direction that only tells views of one image
    apart does not count. 0 where the images' means are equal to float32's rounding.

    ``delta`` is in the unit of the features' square: very small features are not whitened.
    ValueError unless all is finite, n and q are at least 2 and ``delta`` is positive.
    """
    if views.ndim != 3 or min(views.shape[:2]) < 2:
        shape = tuple(views.shape)
        raise ValueError(f'LiDAR: views must be (n, q, D) with n and q from 2, got {shape}')
    if not 0 < delta < math.inf:
        raise ValueError(f'LiDAR: delta must be a positive number, got {delta}')
    check_features('views', views.flatten(0, 1))
    count, per_image, _ = views.shape
    views = views.double()
    means = views.mean(1)
    within = (views - means[:, None]).flatten(0, 1)
    spread, axes = torch.linalg.eigh(within.T @ within / (count * (per_image - 1)))
    # In the axes of S_w, whose root is then a division.
    between = centred(means) / (count - 1) ** 0.5
    whitened = between @ axes / (spread.clamp_min(0) + delta).sqrt()
    return entropy_rank(singular_values(whitened).square(), _EPS)


def alpha_req(features: Tensor, first: int = 3, last: int = 50) -> Tensor:
    """alpha-ReQ of features, (N, D): the exponent a of the eigenvalues ~ j^-a of their covariance.

    By least squares of log eigenvalue on log j, j from ``first`` to ``last`` ("alpha-ReQ",
    Agrawal et al., NeurIPS 2022, section 3, who find features whose a is near 1 best; the range
    is ours: the first few directions follow no power). ``last`` is lowered to the eigenvalues that
    there can be: N - 1, and the features that are not constant.

    Infinite where the eigenvalues end before that: they fall faster than any power. An eigenvalue
    below 2**-40 of the largest, the square of float32's rounding, is taken to be none.

    ValueError unless all is finite and N - 1 and D leave two eigenvalues from ``first`` on.
    """
    if not 1 <= first < last:
        raise ValueError(f'alpha-ReQ: first must be from 1 and below last, got {first} and {last}')
    check_features('features', features, rows=2)
    if (reach := min(last, len(features) - 1, features.size(1))) <= first:
        told = f'features {tuple(features.shape)} have {reach} eigenvalues at most'
        raise ValueError(
            f'alpha-ReQ: {told}; it needs {first + 1}, give more images or lower first'
        )
    less = centred(features.double())
    reach = min(reach, int(less.any(0).sum()))
    eigenvalues = singular_values(less).square().flip(0)
    fitted = eigenvalues[first - 1 : reach]
    if len(fitted) < 2 or fitted[-1] <= ROUNDING**2 * eigenvalues[0]:
        return eigenvalues.new_tensor(math.inf)
    x = torch.arange(first, reach + 1, device=fitted.device).double().log()
    x -= x.mean()
    return -(x * fitted.log()).sum() / x.square().sum()
