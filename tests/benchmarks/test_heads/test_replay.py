# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
import json
from itertools import islice

import numpy as np
import pytest

from benchmarks.heads.jobs import choices, drawn_heads
from benchmarks.heads.replay import STRATEGIES, Pool, _trainings, replay
from benchmarks.heads.replays import add_replays, gains, replays
from nasiam_mm.runs.commands import locked
from nasiam_mm.study.heads import distributions

COUNT, SEEDS, EPOCHS = 18, 3, 4


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
        name: np.mean([replay(pool(val, test), space, name, [6], seed)[0] for seed in range(20)])
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
    # Hyperband's brackets hang on the name of a study, which is none's by chance.
    hyperband = [replay(made, space, 'TPE + Hyperband', [2, 5], 3) for _ in range(4)]
    assert hyperband == hyperband[:1] * 4


PLAYED = [
    *(('random', 0, 30.0), ('random', 1, 32.0)),
    *(('TPE', 0, 31.0), ('TPE', 1, 33.5), ('TPE', 2, 99.0)),
]


def test_gains_are_of_draws_that_both_have():
    rows = [
        {'strategy': name, 'draw': draw, 'scores': [[score, score, score], [np.nan, score, score]]}
        for name, draw, score in PLAYED
    ]
    found = {(gain.strategy, gain.budget): gain for gain in gains(rows)}
    assert found['TPE', 5].gain == pytest.approx(1.25)
    assert found['TPE', 20].score == pytest.approx(32.25)
    assert found['TPE', 10].low == pytest.approx(1.0, abs=0.02)
    assert found['random', 5].gain == 0


def test_the_luck_of_replays_is_told_from_what_heads_do():
    """Gains of 1 +- 0.2 between draws, +- 1 between replays, whose mean is over ten."""
    rng = np.random.default_rng(0)
    rows = []
    for draw in range(400):
        own = 1.0 + 0.2 * rng.normal() + rng.normal(size=(10, 3))
        rows.append({'strategy': 'TPE', 'draw': draw, 'scores': own})
        rows.append({'strategy': 'random', 'draw': draw, 'scores': np.zeros((10, 3))})
    found = [gain for gain in gains(rows) if gain.strategy == 'TPE']
    for gain in found:
        assert gain.gain == pytest.approx(1.0, abs=0.06)
        assert gain.luck == pytest.approx(0.1 / (0.1 + 0.04), abs=0.12)
        assert (gain.high - gain.low) / 2 == pytest.approx(1.96 * 0.14**0.5, abs=0.15)


def test_what_is_no_replay_of_this_table_is_made_anew(space, tmp_path):
    made, path = pool(), tmp_path / 'replays.jsonl'
    of = {'framework': 'simclr', 'scale': 'x', 'table': made.digest}
    told = [*add_replays(path, of, made, space, 1, 2)]
    assert len(told) == len(STRATEGIES) and told[0] == 'draw 1 of 1: random'
    whole = path.read_text()
    lines = whole.splitlines(keepends=True)
    stale = lines[0].replace(made.digest, 'another')
    once = json.dumps({**json.loads(lines[0]), 'scores': [[1.0] * 3]}) + '\n'
    elsewhere = lines[0].replace('"simclr"', '"byol"')
    path.write_text(''.join([elsewhere, stale, once, *lines[:-1], lines[-1][:30]]))
    assert len([*add_replays(path, of, made, space, 1, 2)]) == 1
    assert path.read_text() == elsewhere + whole
    with locked(tmp_path), pytest.raises(BlockingIOError):
        [*add_replays(path, of, made, space, 2, 2)]
    assert pool(cost=2.0).digest != made.digest == pool().digest
    for draws, each, name in ((0, 1, 'draws'), (1, -1, 'each')):
        with pytest.raises(ValueError, match=f'--{name} must be 1 or more'):
            [*add_replays(path, of, made, space, draws, each)]
    assert path.read_text() == elsewhere + whole


def test_a_draw_is_the_same_for_all_strategies(space):
    seen = {}
    for row in replays(pool(), space, 2, 1, known=[('random', 1)]):
        seen.setdefault(row['draw'], []).append(row['strategy'])
    assert seen == {0: [*STRATEGIES], 1: [name for name in STRATEGIES if name != 'random']}
