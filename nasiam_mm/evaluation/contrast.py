# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Views and images on the unit sphere: alignment, uniformity, InfoNCE. Float64 scalars, no labels.

Shapes: N images, D feature width. Features are L2-normalised here, in float64; one of length 0
stays where it is.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from nasiam_mm.evaluation.centred import ROUNDING
from nasiam_mm.evaluation.checks import ENTRIES, check_features


def alignment(view1: Tensor, view2: Tensor) -> Tensor:
    """Mean squared distance of two views of an image, (N, D) each, from 0 to 4.

    ("Understanding Contrastive Representation Learning through Alignment and Uniformity on the
    Hypersphere", Wang & Isola, ICML 2020, section 4.1, with alpha = 2.) Lower is better, and 0
    where everything has collapsed: see :func:`is_on_a_line`. ValueError unless both are finite and
    of one shape.
    """
    first, second = _pair(view1, view2, rows=1)
    return (first - second).square().sum(1).mean()


def uniformity(features: Tensor, t: float = 2) -> Tensor:
    """Log of the mean over pairs of images of ``exp(-t ||f_i - f_j||^2)``, from -4t to 0.

    (Wang & Isola, ICML 2020, section 4.1.) Lower is better; 0 where all features, (N, D), point
    the same way. ValueError unless all is finite, N >= 2 and t > 0.
    """
    check_features('features', features, rows=2)
    if not 0 < t < math.inf:
        raise ValueError(f'uniformity: t must be a positive number, got {t}')
    features = F.normalize(features.double())
    squares = features.square().sum(1)
    count, sums = len(features), []
    block = max(1, ENTRIES // count)
    for start in range(0, count, block):
        rows = slice(start, start + block)
        distance = squares[rows, None] + squares - 2 * features[rows] @ features.T
        exponent = -t * distance.clamp_min_(0)
        exponent.diagonal(start).fill_(-math.inf)  # an image is no pair with itself
        sums.append(exponent.flatten().logsumexp(0))
    return torch.stack(sums).logsumexp(0) - math.log(count * (count - 1))


def contrast(view1: Tensor, view2: Tensor, temperature: float) -> Tensor:
    """InfoNCE between two views, (N, D) each: the mean of both directions, in nats.

    Of each view of an image the other view of the same is to be told among those of all N, by
    softmax of the cosines over the temperature ("Representation Learning with Contrastive
    Predictive Coding", van den Oord et al., 2018, equation 4). Lower is better; log N where nothing
    is told apart, so that figures compare at equal N. ValueError unless both are finite and of one
    shape, N >= 2 and the temperature is positive.
    """
    first, second = _pair(view1, view2, rows=2)
    if not 0 < temperature < math.inf:
        raise ValueError(f'contrast: temperature must be a positive number, got {temperature}')
    block = max(1, ENTRIES // len(first))
    own = torch.arange(len(first), device=first.device)
    total = first.new_zeros(())
    for query, key in ((first, second), (second, first)):
        for rows, label in zip(query.split(block), own.split(block), strict=True):
            total += F.cross_entropy(rows @ key.T / temperature, label, reduction='sum')
    return total / (2 * len(first))


def is_on_a_line(features: Tensor) -> bool:
    """Tell whether features, (N, D), all lie on one line through 0, to float32's rounding.

    Of their squared lengths once normalised, a share of at most 2**-20 then is off the line.
    """
    check_features('features', features)
    features = F.normalize(features.double())
    gram = features.T @ features if len(features) > features.size(1) else features @ features.T
    off = gram.trace() - torch.linalg.eigvalsh(gram)[-1]
    return bool(off <= ROUNDING * gram.trace())


def _pair(view1: Tensor, view2: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    """Check two views of the same images; return them normalised."""
    check_features('view1', view1, rows)
    check_features('view2', view2, rows)
    if view1.shape != view2.shape:
        shapes = f'{tuple(view1.shape)} and {tuple(view2.shape)}'
        raise ValueError(f'two views of the same images have one shape, got {shapes}')
    return F.normalize(view1.double()), F.normalize(view2.double())
