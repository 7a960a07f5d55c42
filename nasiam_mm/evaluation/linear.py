# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Linear classification of cached features: the fast form of linear evaluation.

Not the papers' protocol, which trains on augmented images (configs/benchmarks/linear): here an
image has one feature vector, and the classifier is the exact minimum of a convex problem, so that
nothing but the features decides the figure. Shapes: N images, D feature width, C classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from nasiam_mm.evaluation.checks import ENTRIES, check_features, check_labels, top_accuracy


@dataclass(frozen=True)
class LinearProbe:
    """A classifier of features standardised by ``mean`` and ``deviation``; all float64."""

    weight: Tensor  # (C, D)
    bias: Tensor  # (C,)
    mean: Tensor  # (D,), of the training features
    deviation: Tensor  # (D,); 1 where a feature is constant
    converged: bool  # whether the gradient ended below the tolerance asked for

    def scores(self, features: Tensor) -> Tensor:
        """Score the classes of each image, (N, D) to (N, C)."""
        standard = (features.double() - self.mean) / self.deviation
        return torch.addmm(self.bias, standard, self.weight.T)


def fit_linear(
    features: Tensor,
    labels: Tensor,
    num_classes: int,
    l2: float,
    start: LinearProbe | None = None,
    tolerance: float = 1e-5,
    max_steps: int = 1000,
) -> LinearProbe:
    """Fit a multinomial logistic regression by full-batch L-BFGS in float64.

    Minimises ``mean cross-entropy + l2 / 2 * ||weight||^2`` over weight and bias, features, (N, D),
    standardised by their own mean and deviation; labels are class indices, (N,). ValueError for
    what is not usable.

    Args:
        start: Where to begin; a fit with another ``l2`` on the same features saves steps and
            changes the result within the tolerance only.
        tolerance: Largest entry of the gradient to end with.
        max_steps: L-BFGS iterations at most; ``converged`` tells whether they were enough.
    """
    check_features('features', features)
    labels = check_labels('labels', labels, features, num_classes)
    if not 0 <= l2 < float('inf') or not tolerance > 0 or max_steps < 1:
        given = f'{l2 = }, {tolerance = }, {max_steps = }'
        raise ValueError(f'linear probe: {given}; give l2 >= 0, tolerance > 0 and max_steps >= 1')
    standard = features.to(torch.float64, copy=True)  # the one copy, and worked on in place
    mean, deviation = standard.mean(0), standard.std(0, correction=0)
    # Rounding leaves a constant feature with a tiny deviation of its own.
    largest = torch.maximum(standard.amax(0), -standard.amin(0))
    deviation = deviation.masked_fill(deviation <= 1e-12 * largest, 1.0)
    standard.sub_(mean).div_(deviation)
    if start is None:
        weight, bias = standard.new_zeros(num_classes, len(mean)), standard.new_zeros(num_classes)
    else:
        weight, bias = start.weight.clone(), start.bias.clone()
    weights = [weight.requires_grad_(), bias.requires_grad_()]
    search = dict(tolerance_change=0.0, history_size=20, line_search_fn='strong_wolfe')
    optimizer = torch.optim.LBFGS(weights, max_iter=max_steps, tolerance_grad=tolerance, **search)

    block = max(1, ENTRIES // num_classes)

    def objective() -> Tensor:
        optimizer.zero_grad()
        loss = l2 / 2 * weight.square().sum()
        loss.backward()
        for rows, label in zip(standard.split(block), labels.split(block), strict=True):
            scores = torch.addmm(bias, rows, weight.T)
            part = F.cross_entropy(scores, label) * (len(rows) / len(standard))
            part.backward()
            loss = loss.detach() + part.detach()
        return loss

    with torch.enable_grad():
        optimizer.step(objective)
        objective()
    converged = all(part.grad.abs().max().item() <= tolerance for part in weights)
    return LinearProbe(weight.detach(), bias.detach(), mean, deviation, converged)


def linear_accuracy(
    probe: LinearProbe, features: Tensor, labels: Tensor, chunk_size: int = 8192
) -> dict[str, float]:
    """Measure how often a classifier names the right class, ``chunk_size`` images at a time.

    Takes features, (N, D), and class indices, (N,). Returns ``top1`` and, for more than five
    classes, ``top5``, in percent; ValueError if they do not fit each other or the probe.
    """
    num_classes, width = probe.weight.shape
    check_features('features', features)
    labels = check_labels('labels', labels, features, num_classes)
    if (found := features.size(1)) != width:
        raise ValueError(f'linear probe: features have width {found}, the classifier takes {width}')
    chunk_size = max(1, min(chunk_size, ENTRIES // max(num_classes, width)))
    ranks = []
    for chunk, label in zip(features.split(chunk_size), labels.split(chunk_size), strict=True):
        scores = probe.scores(chunk)
        # An equal score counts as before: a classifier that tells nothing apart names nothing.
        ranks.append((scores >= scores.gather(1, label[:, None])).sum(1) - 1)
    return top_accuracy(torch.cat(ranks), num_classes)


def linear_sweep(
    features: Tensor, labels: Tensor, num_classes: int, l2s: Sequence[float], **options: Any
) -> dict[float, LinearProbe]:
    """Fit a classifier per penalty, the largest first, each begun at the one before.

    All else as in :func:`fit_linear`; returns them by penalty, ValueError if there is none.
    """
    if not l2s:
        raise ValueError('linear probe: at least one l2 is needed')
    probes: dict[float, LinearProbe] = {}
    probe = None
    for l2 in sorted(set(l2s), reverse=True):
        probe = probes[l2] = fit_linear(features, labels, num_classes, l2, probe, **options)
    return probes
