# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The comparator: antisymmetric, its gradient, what it ranks and what it proposes."""

import numpy as np
import pytest
from scipy.stats import kendalltau

from nasiam_mm.study.samplers import build_sampler
from nasiam_mm.study.samplers.comparator import PairModel
from nasiam_mm.study.samplers.sampler import Measured, decided
from tests.test_study.landscapes import OPTIONS, SPACE, Additive, beats, gains, ties


def drawn(count, seed=0):
    rng = np.random.default_rng(seed)
    return [{n: o[rng.integers(len(o))] for n, o in OPTIONS.items()} for _ in range(count)]


def ranks(values):
    return [(2.0, 0.0, float(value)) for value in values]


def fitted(count, seed=0, noise=0.6, **settings):
    landscape, heads = Additive(seed, noise=noise), drawn(count, seed)
    return landscape, PairModel(SPACE, **settings).fit(heads, ranks(map(landscape, heads)))


def test_of_two_heads_one_wins():
    _, model = fitted(30)
    heads = drawn(40, 9)
    for a, b in zip(heads, reversed(heads), strict=True):
        assert model.predict(a, b) + model.predict(b, a) == 1.0
        gap = np.subtract(*model.scores([a, b]))
        assert model.predict(a, b) == pytest.approx(1 / (1 + np.exp(-gap)))
    assert model.predict(heads[0], heads[0]) == 0.5


@pytest.mark.parametrize(('count', 'least'), [(20, 0.4), (60, 0.6), (100, 0.65)])
def test_order_of_heads_not_seen(count, least):
    found = []
    for seed in range(5):
        landscape, model = fitted(count, seed)
        heads = drawn(200, 100 + seed)
        found.append(kendalltau(model.scores(heads), [landscape.true(h) for h in heads]).statistic)
    assert np.mean(found) > least, found


def test_no_order_is_learned_of_noise():
    found = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        model = PairModel(SPACE).fit(drawn(60, seed), ranks(rng.normal(size=60)))
        other, truth = drawn(60, 100 + seed), Additive(seed)
        found.append(kendalltau(model.scores(other), [*map(truth.true, other)]).statistic)
    assert abs(np.mean(found)) < 3 * np.std(found) / 20**0.5, found


def test_it_is_at_the_minimum_of_the_cross_entropy_of_all_pairs():
    heads = drawn(12)
    values = np.random.default_rng(1).normal(size=12).round(1)
    counts = np.arange(12) % 3
    model = PairModel(SPACE, l2=2.0).fit(heads, ranks(values), counts)

    def loss(effects):
        model.effects = effects
        total = weights = 0.0
        for i in range(12):
            for j in range(12):
                if values[i] > values[j]:
                    weight = counts[i] * counts[j]
                    total += -weight * np.log(model.predict(heads[i], heads[j]))
                    weights += weight
        return total / weights + 2.0 / counts.sum() / 2 * (effects**2).sum()

    best = model.effects.copy()
    least = loss(best)
    rng = np.random.default_rng(2)
    for scale in (0.3, 0.05, 0.01):
        for _ in range(10):
            assert loss(best + scale * rng.normal(size=len(best))) > least - 1e-6


def test_a_choice_that_decides_nothing_has_no_say():
    _, model = fitted(40)
    linear = {**drawn(1)[0], 'projector.depth': 1}
    for activation in OPTIONS['projector.activation']:
        assert model.predict({**linear, 'projector.activation': activation}, linear) == 0.5


def test_all_heads_alike_teach_nothing():
    model = PairModel(SPACE).fit(drawn(5), ranks([1.0] * 5))
    assert not model.effects.any()


def test_what_is_known_is_not_proposed_again():
    landscape = Additive(2)
    heads = drawn(30)
    measured = [Measured(n, h, (2.0, 0.0, landscape(h))) for n, h in enumerate(heads)]
    sampler = build_sampler(dict(type='Comparator'), SPACE, 0)
    known = {decided(head) for head in heads}
    running = []
    for seed in range(20):
        head = sampler.propose(measured, running, np.random.default_rng(seed))
        assert decided(head) not in known | {decided(other) for other in running}
        running.append(head)
    mean = np.mean([landscape.true(h) for h in running])
    assert mean > np.quantile([landscape.true(h) for h in heads], 0.9)


def test_a_small_space_may_be_known_whole():
    space = {'temperature': SPACE['temperature']}
    heads = [{'temperature': t} for t in OPTIONS['temperature']] * 3
    measured = [Measured(n, h, (2.0, 0.0, n % 4)) for n, h in enumerate(heads)]
    sampler = build_sampler(dict(type='Comparator'), space, 0)
    proposed = [sampler.propose(measured, [], np.random.default_rng(n)) for n in range(20)]
    assert all(head in heads for head in proposed)


def test_it_finds_more_than_random_search():
    found, random = (gains(dict(type=kind), 40, 12) for kind in ('Comparator', 'Random'))
    assert beats(found, random)


def test_it_ties_with_random_search_on_noise():
    found, random = (
        gains(dict(type=kind), 25, 12, blind=True) for kind in ('Comparator', 'Random')
    )
    assert ties(found, random)
