# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A model of which of two heads is better (the idea of `CTNAS`_, section 3.2).

.. _CTNAS: https://arxiv.org/abs/2103.05471
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from nasiam_mm.architecture.kinds.kind import Option
from nasiam_mm.study.samplers.sampler import (
    SAMPLERS,
    Head,
    HeadSampler,
    Measured,
    Space,
    decided,
)
from nasiam_mm.study.settings import number, whole

_PARENTS = 5


class PairModel:
    """``p(a beats b) = sigmoid(g(a) - g(b))``, so that ``p(a, b) + p(b, a) = 1``.

    g is linear in the options that count, one-hot; a choice that decides nothing is all zeros. At
    20 to 100 trainings there are few more of these than effects of single options, and none left
    for products of them.

    Args:
        space: What there is to choose from.
        l2: Weight decay, as so many trainings that say each effect is 0.
    """

    def __init__(self, space: Space, l2: float = 1.0) -> None:
        pairs = [(name, o) for name, d in sorted(space.items()) for o in d.choices]
        self._columns = {pair: column for column, pair in enumerate(pairs)}
        self.l2, self.effects = l2, np.zeros(len(pairs))

    def fit(
        self,
        heads: Sequence[Mapping[str, Option]],
        ranks: Sequence[tuple[float, ...]],
        counts: np.ndarray | None = None,
    ) -> 'PairModel':
        """Fit all pairs of heads whose ranks differ, by binary cross-entropy.

        Args:
            heads: n of them.
            ranks: Of each, larger is better, see :class:`Measured`.
            counts: How often each is taken, (n,); once by default.
        """
        x = self._coded(heads)
        order = sorted(set(ranks))
        place = np.array([order.index(rank) for rank in ranks])
        better, worse = np.nonzero(place[:, None] > place)  # (pairs,) each
        times = np.ones(len(x)) if counts is None else np.asarray(counts, float)
        weights = times[better] * times[worse]
        if not weights.any():
            self.effects = np.zeros_like(self.effects)
            return self
        weights /= weights.sum()
        decay = self.l2 / times.sum()

        def loss(effects: np.ndarray) -> tuple[float, np.ndarray]:
            g = x @ effects
            gap = g[better] - g[worse]
            push = -weights * expit(-gap)
            of_g = np.bincount(better, push, len(x)) - np.bincount(worse, push, len(x))
            value = weights @ np.logaddexp(0, -gap) + decay / 2 * effects @ effects
            return float(value), x.T @ of_g + decay * effects

        start = np.zeros_like(self.effects)
        self.effects = minimize(loss, start, jac=True, method='L-BFGS-B').x
        return self

    def scores(self, heads: Sequence[Mapping[str, Option]]) -> np.ndarray:
        """Return g of heads, (n,): larger is better."""
        return self._coded(heads) @ self.effects

    def predict(self, a: Mapping[str, Option], b: Mapping[str, Option]) -> float:
        """Return the probability that head a is better than head b."""
        gap = float(np.subtract(*self.scores([a, b])))
        # Of the two the smaller one is exact, the larger one is what is left of 1.
        small = 1 / (1 + math.exp(min(abs(gap), 700.0)))
        return small if gap < 0 else 1 - small

    def _coded(self, heads: Sequence[Mapping[str, Option]]) -> np.ndarray:
        rows = np.zeros((len(heads), len(self._columns)))
        for row, head in zip(rows, heads, strict=True):
            row[[self._columns[pair] for pair in decided(head)]] = 1
        return rows


@SAMPLERS.register_module()
class Comparator(HeadSampler):
    """The head that a :class:`PairModel` places first, of random ones and of changes to the best.

    The model is fitted anew for each trial, to a bootstrap of the trials, which explores as much as
    they leave open (Thompson sampling). Pruned trials are below complete ones and infeasible ones
    below these, see :class:`Measured`; a head measured or running is not proposed again.

    Args:
        space: What there is to choose from.
        seed: Of the trial.
        startup: Trials drawn at random first.
        draws: Random heads to choose from.
        l2: See :class:`PairModel`.
    """

    def __init__(
        self, space: Space, seed: int, startup: int = 10, draws: int = 100, l2: float = 1.0
    ) -> None:
        super().__init__(space, seed)
        self.startup = whole('Comparator', 'startup', startup, 2)
        self.draws = whole('Comparator', 'draws', draws, 1, 100_000)
        self.l2 = number('Comparator', 'l2', l2, 1e-6, 1e6)

    def propose(
        self, measured: Sequence[Measured], running: Sequence[Head], rng: np.random.Generator
    ) -> Head:
        """Return the first by the model among those not known yet."""
        known = {decided(head) for head in (*(trial.head for trial in measured), *running)}
        if len(measured) < self.startup:
            return self._unknown([self.draw(rng) for _ in range(20)], known)[0]
        best = sorted(measured, key=lambda trial: trial.rank)[-_PARENTS:]
        near = [h for t in best for heads in self.neighbours(t.head).values() for h in heads]
        heads = self._unknown([*near, *(self.draw(rng) for _ in range(self.draws))], known)
        counts = rng.multinomial(len(measured), [1 / len(measured)] * len(measured))
        model = PairModel(self.space, self.l2)
        model.fit([t.head for t in measured], [t.rank for t in measured], counts)
        return heads[int(model.scores(heads).argmax())]

    def _unknown(self, heads: list[Head], known: set) -> list[Head]:
        """Return those not known, or all of them where each is."""
        return [head for head in heads if decided(head) not in known] or heads
