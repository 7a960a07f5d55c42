# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Scores of two heads on the same seeds: their differences and how sure the mean is."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

_MANY = 1e9  # degrees of freedom of a normal distribution
_ROUNDING = 0.051  # points: scores may have been rounded to one place


@dataclass(frozen=True)
class Arm:
    """A head, trained with several seeds and measured.

    Attributes:
        name: Of the head.
        scores: Seed -> score of the run, in points (percent); a collapsed one needs none.
        correct: Seed -> whether each of N images is told right, (N,), bool, the images in the same
            order in each run; None where that was not kept. The score is its mean.
        collapsed: Seeds whose run collapsed, by a rule that does not look at scores.
    """

    name: str
    scores: Mapping[int, float]
    correct: Mapping[int, np.ndarray] | None = None
    collapsed: Collection[int] = ()

    @property
    def seeds(self) -> set[int]:
        """Seeds that were run."""
        return {*self.scores, *self.collapsed}


@dataclass(frozen=True)
class Difference:
    """A head less the standard one, over n seeds.

    Attributes:
        n: Seeds.
        mean: Mean difference, points.
        variance: Of the difference over seeds, points squared.
        image_variance: Of the mean, by the choice of images, points squared; 0 where it is unknown.
        images: How many there are; None where correctness was not given.
    """

    n: int
    mean: float
    variance: float
    image_variance: float = 0.0
    images: int | None = None

    def of_mean(self, seeds):
        """Return the variance of the mean over so many seeds and its degrees of freedom.

        Satterthwaite's, as the images' part is taken to be known: ``V = v + V_img``,
        ``df = V^2 / (v^2 / (seeds - 1))``. ``seeds`` is a number or an array, (M,).
        """
        v = self.variance / seeds
        total = v + self.image_variance
        return total, np.minimum(np.square(total / v) * (seeds - 1), _MANY)

    @property
    def is_flat(self) -> bool:
        """Whether all seeds differ by the same: their spread cannot be known."""
        return math.sqrt(self.variance) < 1e-9


def difference(standard: Arm, candidate: Arm, seeds: Sequence[int]) -> Difference:
    """Compare two heads on two seeds or more, whose scores are finite.

    Over images the variance is that of the image effect, by a two-way layout of n seeds and N
    images: ``V_img = max(0, var_i(mean_s D_si) / N - MS(seed x image) / (n N))``.

    Raises:
        ValueError: If correctness is missing for a seed, or does not fit the scores.
    """
    d = np.array([candidate.scores[s] - standard.scores[s] for s in seeds], float)
    mean, variance = float(d.mean()), float(d.var(ddof=1))
    if standard.correct is None or candidate.correct is None:
        return Difference(len(d), mean, variance)
    ours, theirs = (_points(arm, seeds) for arm in (candidate, standard))
    if ours.shape != theirs.shape:
        what = f'{candidate.name!r} has correctness of {ours.shape[1]} images'
        raise ValueError(f'{what}, {standard.name!r} of {theirs.shape[1]}: take the same images')
    each = ours - theirs  # (n, N)
    n, images = each.shape
    of_image = each.mean(0)
    interaction = each - of_image - each.mean(1, keepdims=True) + each.mean()
    square = np.square(interaction).sum() / ((n - 1) * (images - 1))
    by_images = of_image.var(ddof=1) / images - square / (n * images)
    return Difference(n, mean, variance, max(0.0, float(by_images)), images)


def _points(arm: Arm, seeds: Sequence[int]) -> np.ndarray:
    """Return 100 where an image is told right, (n, N)."""
    assert arm.correct is not None
    rows: list[np.ndarray] = []
    for seed in seeds:
        row = np.asarray(arm.correct.get(seed, ()))
        if row.ndim != 1 or row.dtype != bool or len(row) < 2:
            raise ValueError(f'correct[{seed}] of {arm.name!r} must be bools of 2 images or more')
        if rows and len(row) != len(rows[0]):
            what = f'correct[{seed}] of {arm.name!r} has {len(row)} images'
            raise ValueError(f'{what}, that of seed {seeds[0]} {len(rows[0])}: take the same')
        if abs(100 * row.mean() - arm.scores[seed]) > _ROUNDING:
            what = f'scores[{seed}] of {arm.name!r} is {arm.scores[seed]:g} points'
            raise ValueError(f'{what}, but {100 * row.mean():g} % of its images are right')
        rows.append(row)
    return 100.0 * np.stack(rows)


def check_arms(standard: Arm, candidates: Sequence[Arm]) -> None:
    """Raise ValueError unless these are candidates of different names on the standard's seeds."""
    if not candidates:
        raise ValueError('there is no candidate to compare with the standard head; give one')
    names = [arm.name for arm in (standard, *candidates)]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f'two heads are named {twice!r}; name each by its own')
    for arm in (standard, *candidates):
        if wrong := [s for s in arm.seeds if type(s) is not int]:
            raise ValueError(f'a seed of {arm.name!r} must be a whole number, got {wrong[0]!r:.60}')
        for seed, score in arm.scores.items():
            if isinstance(score, (bool, np.bool_)) or not isinstance(
                score, (int, float, np.number)
            ):
                what = f'scores[{seed}] of {arm.name!r} must be a number of points'
                raise ValueError(f'{what}, got {score!r:.60}')
        if apart := sorted(arm.seeds ^ standard.seeds):
            where, other = arm, standard
            if apart[0] in standard.seeds:
                where, other = standard, arm
            raise ValueError(
                f'heads are compared on the same seeds: seed {apart[0]} was run with '
                f'{where.name!r} and not with {other.name!r}; run it, or leave it out of both'
            )
