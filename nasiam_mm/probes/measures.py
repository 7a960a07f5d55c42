# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What a backbone is measured by beside the vote of its neighbours: the base and the plain images.

Every measure is of the backbone's features, never of a head's z, so that backbones trained with
different heads are compared by one rule. Shapes: M bank rows, N queries, D feature width; n images
with q views each. All processes compute the same figures, of features whose making they share.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from torch import Tensor

from nasiam_mm.evaluation.contrast import uniformity
from nasiam_mm.evaluation.knn import knn_accuracy
from nasiam_mm.evaluation.linear import fit_linear, linear_accuracy
from nasiam_mm.evaluation.spectrum import alpha_req, rankme
from nasiam_mm.part_registry import build_parts, open_registry
from nasiam_mm.probes.extract import FeatureSet

MEASURES = open_registry('measure', 'nasiam_mm.probes')


@dataclass(frozen=True)
class Found:
    """What is known of a backbone when it is measured.

    Attributes:
        bank: Features, (M, D), and labels of the labelled images; -1 each where there are none.
        query: Features, (N, D), and labels of the images that are held out.
        num_classes: Number of classes.
        k: Neighbours of the probe.
        temperature: Of their vote.
        blocks: ``chunk_size`` and ``bank_block`` of the probe.
        views: Gives features, (n, q, D), float32, of q views each of n images of the query, all
            of them if they are fewer; see :class:`QueryViews`.
    """

    bank: FeatureSet
    query: FeatureSet
    num_classes: int
    k: int
    temperature: float
    blocks: dict[str, int]
    views: Callable[[int, int], Tensor]

    @cached_property
    def knn(self) -> dict[str, float]:
        """Accuracy of the neighbours' vote in percent, taken once; see :func:`knn_accuracy`."""
        given = (*self.query, *self.bank, self.num_classes, self.k, self.temperature)
        return knn_accuracy(*given, **self.blocks)


class Measure:
    """A figure of a backbone.

    Attributes:
        name: What it is logged by, as ``measure/<name>``.
        needs_labels: Whether it reads the labels of bank or query.
        needs_views: Whether it asks for views.
        needs_images: How many images of the query it takes at least.
    """

    name: ClassVar[str]
    needs_labels: ClassVar[bool] = False
    needs_views: ClassVar[bool] = False
    needs_images: ClassVar[int] = 1

    def value(self, found: Found) -> float:
        """Measure in the unit of the measure; the worst value, not NaN, for what has collapsed."""
        raise NotImplementedError

    def score(self, value: float) -> float:
        """Map a value to a number of which more is better; by default itself."""
        return value

    def _require(self, name: str, value: Any, is_right: bool, needed: str) -> None:
        if isinstance(value, bool) or not is_right:
            what = f'{type(self).__name__}.{name} must be {needed}, got {value!r}'
            raise ValueError(what)

    def _require_count(self, name: str, value: Any, least: int) -> None:
        is_right = isinstance(value, int) and value >= least
        self._require(name, value, is_right, f'a whole number from {least}')

    def _require_positive(self, name: str, value: Any) -> None:
        is_right = isinstance(value, (int, float)) and 0 < value < math.inf
        self._require(name, value, is_right, 'a positive number')


def build_measures(configs: Sequence) -> list[Measure]:
    """Build the measures of ``probe.measures``; ValueError for one that cannot be, or is twice."""
    measures: list[Measure] = build_parts(MEASURES, configs, 'probe.measures')
    names = [measure.name for measure in measures]
    if twice := [name for n, name in enumerate(names) if name in names[:n]]:
        raise ValueError(f'probe.measures has {twice[0]!r} twice; leave one of them')
    return measures


def require_images(measures: Sequence[Measure], count: int, part: str) -> None:
    """Raise a ValueError if a part of the query has fewer images than a measure takes."""
    for measure in measures:
        if count < measure.needs_images:
            who = f'the measure {type(measure).__name__} needs {measure.needs_images} images'
            raise ValueError(f'{who}, of which the {part} part has {count}; add images to it')


def measure_found(measures: Sequence[Measure], found: Found) -> dict[str, float]:
    """Measure, by ``measure/<name>``; ValueError for a figure that is not a number."""
    values = {f'measure/{measure.name}': float(measure.value(found)) for measure in measures}
    if wrong := [name for name, value in values.items() if math.isnan(value)]:
        raise ValueError(f'{wrong[0]} is not a number; its value() has to tell what has collapsed')
    return values


@MEASURES.register_module()
class KNN(Measure):
    """Top-1 of the vote of the k nearest labelled images, in percent: ``knn/val_top1`` again.

    k and the temperature are the probe's; collapsed features give the share of a class. No forward
    pass and no computation of its own: the probe has taken the vote, 2 N M D operations.
    """

    name, needs_labels = 'knn', True

    def value(self, found: Found) -> float:
        """Return top-1 in percent."""
        return found.knn['top1']


@MEASURES.register_module()
class LinearProbe(Measure):
    """Top-1 of a linear classifier fitted on the bank, in percent; see :func:`fit_linear`.

    The penalty is fixed, as one that is selected on the query would be told on it too. Collapsed
    features give the share of a class. No forward pass; about 4 M D C operations for each of some
    hundred steps of L-BFGS.

    Args:
        l2: Penalty on the weights, of standardised features.
        max_steps: Steps of L-BFGS at most.
    """

    name, needs_labels = 'linear', True

    def __init__(self, l2: float = 1e-3, max_steps: int = 1000) -> None:
        self._require_positive('l2', l2)
        self._require_count('max_steps', max_steps, 1)
        self.l2, self.max_steps = l2, max_steps

    def value(self, found: Found) -> float:
        """Return top-1 in percent."""
        probe = fit_linear(*found.bank, found.num_classes, self.l2, max_steps=self.max_steps)
        return linear_accuracy(probe, *found.query)['top1']


@MEASURES.register_module()
class RankMe(Measure):
    """RankMe of the query, in directions: see :func:`rankme`.

    About 1 where all features are parallel, 0 where they are 0. No forward pass; N D min(N, D)
    operations and the eigenvalues of a matrix of side min(N, D).
    """

    name, needs_images = 'rankme', 2

    def value(self, found: Found) -> float:
        """Return the number of directions."""
        return rankme(found.query.features).item()


@MEASURES.register_module()
class AlphaReQ(Measure):
    """alpha-ReQ of the query, an exponent: see :func:`alpha_req`. Best at 1.

    Infinite, and its score minus infinite, where features use fewer directions than the fit takes.
    No forward pass; the cost of :class:`RankMe`.

    Args:
        first: First of the eigenvalues that are fitted, from 1.
        last: Last of them, lowered to what there are.
    """

    name, needs_images = 'alpha_req', 2

    def __init__(self, first: int = 3, last: int = 50) -> None:
        self._require_count('first', first, 1)
        self._require_count('last', last, first + 1)
        self.first, self.last = first, last

    def value(self, found: Found) -> float:
        """Return the exponent."""
        return alpha_req(found.query.features, self.first, self.last).item()

    def score(self, value: float) -> float:
        """Return minus the distance to 1."""
        return -abs(value - 1)


@MEASURES.register_module()
class Uniformity(Measure):
    """Uniformity of the query, a log of a mean: see :func:`uniformity`. Lower is better.

    0, the largest, where all features point the same way. No forward pass; 2 N^2 D operations.

    Args:
        t: Factor on squared distances.
    """

    name, needs_images = 'uniformity', 2

    def __init__(self, t: float = 2.0) -> None:
        self._require_positive('t', t)
        self.t = t

    def value(self, found: Found) -> float:
        """Return the log."""
        return uniformity(found.query.features, self.t).item()

    def score(self, value: float) -> float:
        """Return minus the value."""
        return -value
