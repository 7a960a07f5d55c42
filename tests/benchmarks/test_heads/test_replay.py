# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
from itertools import islice

import numpy as np
import pytest

from benchmarks.heads.jobs import choices, drawn_heads
from benchmarks.heads.replay import STRATEGIES, Pool, _trainings, replay
from nasiam_mm.study.heads import distributions

COUNT, SEEDS, EPOCHS = 30, 3, 4


@pytest.fixture(scope='module')
def space():
    return distributions(choices('simclr'))


def pool(val=None, test=None, cost=1.0):
    heads = [head for name, head in drawn_heads('simclr').items() if name != 'standard'][:COUNT]
    rng = np.random.default_rng(0)
    val = rng.normal(size=(COUNT, SEEDS, EPOCHS)) if val is None else val
    test = rng.normal(size=(COUNT, SEEDS)) if test is None else test
    return Pool(heads, val, test, np.full((COUNT, SEEDS), cost))


@pytest.mark.parametrize('strategy', STRATEGIES)
def test_the_best_of_the_pool_is_held_when_all_are_trained(space, strategy):
    val = np.tile(np.arange(COUNT, dtype=float)[:, None, None], (1, SEEDS, EPOCHS))
    best = np.tile(np.arange(COUNT, dtype=float)[:, None], (1, SEEDS))
    found = replay(pool(val, best), space, strategy, [0.5, 1, 10_000], seed=0)
    assert np.isnan(found[0])  # no training has ended
    assert found[2] == COUNT - 1


def test_a_budget_buys_whole_trainings_at_their_price(space):
    made = pool(cost=7.0)
    trained = [val for _, val, _ in islice(_trainings(made, space, 'random', 1), 7)]
    tests = [test for _, _, test in islice(_trainings(made, space, 'random', 1), 7)]
    for budget in (1, 3, 3.5, 7):
        best = int(np.argmax(trained[: int(budget)]))
        assert replay(made, space, 'random', [budget], 1) == [tests[best]]


def test_a_pruned_training_costs_the_epochs_it_had(space):
    """With halving more heads are seen at a budget, and the best of few epochs is found sooner."""
    val = np.tile(np.arange(COUNT, dtype=float)[:, None, None], (1, SEEDS, EPOCHS))
    test = val[..., -1]
    held = {
        name: np.mean([replay(pool(val, test), space, name, [10], seed)[0] for seed in range(20)])
        for name in ('random', 'random + halving')
    }
    assert held['random + halving'] > held['random'] + 1


def test_the_score_is_of_seeds_that_were_not_seen(space):
    val = np.zeros((COUNT, SEEDS, EPOCHS))
    test = np.zeros((COUNT, SEEDS))
    # Seed 0 alone looks good and is good: seen, it must not count.
    val[:, 0], test[:, 0] = 1.0, 1.0
    found = [replay(pool(val, test), space, 'random', [30], seed)[0] for seed in range(20)]
    assert set(found) == {0.0}


def test_a_replay_is_a_function_of_its_seed(space):
    made = pool()
    one, again, other = (replay(made, space, 'TPE', [5, 15], seed) for seed in (1, 1, 2))
    assert one == again != other
