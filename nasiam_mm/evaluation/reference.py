# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A head that no search has a say in, to compare backbones by: random, linear, always the same."""

import torch
from torch import Tensor

from nasiam_mm.evaluation.centred import centred
from nasiam_mm.evaluation.checks import check_features


def reference_head(features: Tensor, width: int = 128, seed: int = 0) -> Tensor:
    """Standardise features, (N, D), and project them: (N, min(D, width)), float64.

    A contrastive loss of a backbone needs a head. The one that the backbone was trained with is
    what a search compares, and would be measured along with it: two heads over equal features
    would get two figures. A head trained anew would add its own seed and recipe. This one is a
    function of D, ``width`` and ``seed`` alone, hence the same for every backbone of a width,
    whatever head stands on it.

    Standardising, each feature by its own mean and deviation over the N rows, takes away what a
    linear head could, the common offset and the unit of each feature, which else would make every
    cosine of features after a ReLU nearly 1; a constant feature becomes 0. The projection has
    orthonormal directions, drawn from a generator of its own; for D <= width it is a rotation,
    which changes no cosine. ValueError unless all is finite, N >= 2 and width >= 1.
    """
    check_features('features', features, rows=2)
    if width < 1:
        raise ValueError(f'reference head: width must be from 1, got {width}')
    less = centred(features.double())
    deviation = less.square().mean(0).sqrt()
    standard = less / deviation.where(deviation > 0, 1)
    return standard @ _directions(features.size(1), width, seed).to(standard.device)


def _directions(channels: int, width: int, seed: int) -> Tensor:
    """Draw orthonormal columns, (D, min(D, width)), float64, on the CPU."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(channels, width, generator=generator, dtype=torch.float64)
    return torch.linalg.qr(drawn).Q
