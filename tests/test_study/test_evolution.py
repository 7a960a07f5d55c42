# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Regularized evolution: children, aging, tournaments; it finds more than random search."""

from collections import Counter

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution

from nasiam_mm.architecture.names import idle_choices
from nasiam_mm.study.samplers import build_sampler
from nasiam_mm.study.samplers.sampler import Measured, decided
from tests.test_study.landscapes import OPTIONS, SPACE, beats, gains, ties

LINEAR = {name: options[0] for name, options in OPTIONS.items()}  # depth 1


def evolution(space=SPACE, **settings):
    return build_sampler(dict(type='Evolution', **settings), space, 0)


def trials(values, heads=None):
    heads = heads or [LINEAR] * len(values)
    return [Measured(n, h, (2, 0, v)) for n, (h, v) in enumerate(zip(heads, values, strict=True))]


def test_a_mutation_changes_one_choice_that_counts():
    sampler, rng = evolution(), np.random.default_rng(0)
    for _ in range(400):
        parent = sampler.draw(rng)
        child = sampler.mutate(parent, rng)
        [changed] = [name for name in OPTIONS if child[name] != parent[name]]
        assert decided(child) != decided(parent)
        assert changed not in idle_choices(parent) and changed not in idle_choices(child)


def test_a_linear_head_is_mutated_in_what_it_has():
    sampler, rng = evolution(), np.random.default_rng(0)
    changed = Counter(
        next(name for name in OPTIONS if child[name] != LINEAR[name])
        for child in (sampler.mutate(LINEAR, rng) for _ in range(400))
    )
    assert set(changed) == {'projector.depth', 'projector.out_channels', 'projector.output_norm',
                            'temperature'}  # fmt: skip
    assert min(changed.values()) > 60  # a choice as often as another, whatever its options


def test_operations_beyond_the_depth_are_not_mutated():
    ops = {f'projector.{n}.op': CategoricalDistribution(['linear', 'relu']) for n in range(3)}
    space = {**ops, 'projector.depth': CategoricalDistribution([2])}
    head = {**dict.fromkeys(ops, 'relu'), 'projector.depth': 2}
    assert [*evolution(space).neighbours(head)] == ['projector.0.op']


def test_where_nothing_can_change_the_head_stays():
    alone = {'temperature': CategoricalDistribution([0.1])}
    assert evolution(alone).mutate({'temperature': 0.1}, np.random.default_rng(0)) == {
        'temperature': 0.1
    }


def test_the_parent_is_the_best_of_the_youngest():
    # The head of the highest score is too old; they are three choices apart.
    rest = {**LINEAR, 'projector.depth': 4}
    best = {**rest, 'projector.activation': 'tanh', 'projector.width_ratio': 4, 'temperature': 0.1}
    old = {**rest, 'projector.hidden_norm': 'ln', 'projector.output_norm': 'bn', 'temperature': 0.2}
    heads = [old, rest, rest, best, rest]
    sampler, parents = evolution(population=4, tournament=4), Counter()
    for seed in range(200):
        rng = np.random.default_rng(seed)
        child = sampler.propose(trials([90, 1, 2, 9, 3], heads), [], rng)
        apart = [sum(child[n] != head[n] for n in OPTIONS) for head in (best, rest, old)]
        parents[apart.index(1)] += 1
    assert parents[2] == 0
    # Drawn with replacement: the best takes part with probability 1 - (3/4)^4, .68.
    assert 0.55 < parents[0] / 200 < 0.85


def test_random_until_there_is_a_population():
    sampler = evolution()
    drawn = [sampler.propose(trials([1.0] * 11), [], np.random.default_rng(n)) for n in range(60)]
    assert {h['temperature'] for h in drawn} == set(OPTIONS['temperature'])
    child = sampler.propose(trials([1.0] * 12), [], np.random.default_rng(0))
    assert sum(child[name] != LINEAR[name] for name in OPTIONS) == 1


def test_it_finds_more_than_random_search():
    found, random = (gains(dict(type=kind), 60, 24) for kind in ('Evolution', 'Random'))
    assert beats(found, random)


def test_it_ties_with_random_search_on_noise():
    found, random = (gains(dict(type=kind), 25, 16, blind=True) for kind in ('Evolution', 'Random'))
    assert ties(found, random)


@pytest.mark.parametrize('tournament', [1, 12])
def test_a_larger_tournament_presses_harder(tournament):
    values = list(range(12))
    heads = [{**LINEAR, 'temperature': 0.05 if n < 11 else 0.5} for n in range(12)]
    sampler = evolution(tournament=tournament)
    children = [
        sampler.propose(trials(values, heads), [], np.random.default_rng(n)) for n in range(200)
    ]
    share = np.mean([child['temperature'] == 0.5 for child in children])
    # 1/12 and 1 - (11/12)^12 of them are of the best; a quarter has its temperature changed.
    expected = 1 - (11 / 12) ** tournament
    assert share == pytest.approx(expected * 0.75 + (1 - expected) / 12, abs=0.1)
