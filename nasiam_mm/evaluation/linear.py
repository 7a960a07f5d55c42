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
from torch import Tensor

from nasiam_mm.evaluation.checks import ENTRIES, check_features, check_labels, top_accuracy

_COARSE = 1e-5  # largest entry of a gradient that float32 is trusted with


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
    """Fit a multinomial logistic regression by full-batch L-BFGS, with one copy of the features.

    Minimises ``mean cross-entropy + l2 / 2 * ||weight||^2`` over weight and bias, features, (N, D),
    standardised by their own mean and deviation; labels are class indices, (N,). Sums are taken in
    float64, products in float32 where the tolerance allows. ValueError for what is not usable.

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
    standard, mean, deviation = _standardise(features)
    if start is None:
        flat = standard.new_zeros(num_classes * (len(mean) + 1), dtype=torch.float64)
    else:
        flat = torch.cat([start.weight, start.bias[:, None]], 1).flatten()
    objective = _Objective(standard, labels, num_classes, l2)
    # Products in float32 lead there in half the time; float64 goes on where they do not suffice.
    if tolerance >= _COARSE:
        flat = _minimise(objective.to(torch.float32), flat, tolerance, max_steps)
    objective.to(torch.float64)
    if not (converged := objective.is_flat(flat, tolerance)):
        flat = _minimise(objective, flat, tolerance, max_steps)
        converged = objective.is_flat(flat, tolerance)
    weight = flat.view(num_classes, -1)
    return LinearProbe(weight[:, :-1].clone(), weight[:, -1].clone(), mean, deviation, converged)


def _standardise(features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the features standardised, in the one copy of them, with mean and deviation."""
    kind = torch.float64 if features.dtype == torch.float64 else torch.float32
    blocks = features.split(max(1, ENTRIES // 8 // features.size(1)))
    mean = sum(rows.sum(0, dtype=torch.float64) for rows in blocks) / len(features)
    centred = ((rows.double() - mean).square_().sum(0) for rows in blocks)
    deviation = (sum(centred) / len(features)).sqrt_()
    # Rounding leaves a constant feature with a tiny deviation of its own.
    largest = torch.maximum(features.amax(0), -features.amin(0))
    deviation = deviation.masked_fill(deviation <= 1e-12 * largest, 1.0)
    standard = torch.empty_like(features, dtype=kind)
    for rows, place in zip(blocks, standard.split(len(blocks[0])), strict=True):
        place.copy_((rows.double() - mean).div_(deviation))
    return standard, mean, deviation


class _Objective:
    """Mean cross-entropy + l2 / 2 * ||weight||^2 and its gradient; (C, D + 1), the bias last."""

    def __init__(self, standard: Tensor, labels: Tensor, num_classes: int, l2: float) -> None:
        self.classes, self.l2, self.count = num_classes, l2, len(standard)
        size = max(1, min(2**18 // standard.size(1), ENTRIES // num_classes))
        self.blocks = list(zip(standard.split(size), labels.split(size), strict=True))
        self.dtype = torch.float64

    def to(self, dtype: torch.dtype) -> '_Objective':
        """Compute the products and the losses of images in another precision from now on."""
        self.dtype = dtype
        return self

    def is_flat(self, flat: Tensor, tolerance: float) -> bool:
        """Tell whether no entry of the gradient exceeds the tolerance."""
        return self(flat)[1].abs().max().item() <= tolerance

    def __call__(self, flat: Tensor) -> tuple[Tensor, Tensor]:
        """Return the value, (), and the gradient, as ``flat``, in float64."""
        whole = flat.view(self.classes, -1)
        weight, bias = whole[:, :-1].to(self.dtype), whole[:, -1].to(self.dtype)
        slope = torch.zeros_like(whole)
        loss = whole.new_zeros(())
        for rows, label in self.blocks:
            rows = rows.to(self.dtype)
            logp = torch.addmm(bias, rows, weight.T).log_softmax(1)
            loss -= logp.gather(1, label[:, None]).sum(dtype=torch.float64)
            # The gradient of the scores: probabilities less the truth.
            residual = logp.exp_().scatter_add_(1, label[:, None], -torch.ones_like(logp[:, :1]))
            slope[:, :-1] += residual.T @ rows
            slope[:, -1] += residual.sum(0)
        slope /= self.count
        slope[:, :-1] += self.l2 * whole[:, :-1]
        return loss / self.count + self.l2 / 2 * whole[:, :-1].square().sum(), slope.flatten()


def _minimise(objective: _Objective, flat: Tensor, tolerance: float, max_steps: int) -> Tensor:
    """Minimise by torch's L-BFGS, whose first step is of length 1 as scipy's is.

    torch begins with a step whose entries add up to 1, which for 50,000 of them is so short that
    finding its length takes as many evaluations as all that follows: it is given the parameters in
    another unit.
    """
    begin = objective(flat)
    known = [begin]
    unit = max(1.0, (begin[1].abs().sum() / begin[1].norm().clamp_min(1e-300)).item())
    scaled = flat / unit
    search = dict(tolerance_change=0.0, history_size=20, line_search_fn='strong_wolfe')
    optimizer = torch.optim.LBFGS(
        [scaled], max_iter=max_steps, tolerance_grad=tolerance * unit, **search
    )

    def closure() -> Tensor:
        loss, gradient = known.pop() if known else objective(scaled * unit)
        scaled.grad = gradient * unit
        return loss

    optimizer.step(closure)
    return scaled * unit


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
