# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
import json

import numpy as np
import pytest

from benchmarks.heads.gate import committed_scores, gate, loss_ranks, reliability


def crossed_rows(scores, seconds=30.0):
    return [
        dict(
            head=f'a{h}',
            seed=s,
            knn_test=[0.0, score],
            linear_test=[1.0, 2 * score],
            seconds=seconds,
        )
        for h, row in enumerate(scores)
        for s, score in enumerate(row)
    ]


def test_reliability_by_hand():
    # Means 1, 3, 5 of heads, no effect of seeds; the rest is +-1 in two cells of one head's seeds.
    scores = np.array([[0.0, 2.0], [4.0, 2.0], [5.0, 5.0]])
    # MSH = 2 * 4 = 8; rest: (-1, 1), (1, -1), (0, 0), SSE 4, of 2 degrees: MSE 2.
    found = reliability(scores)
    assert found.value == pytest.approx(1 - 2 / 8)
    assert found.low < found.value < found.high


def test_what_a_seed_does_to_all_heads_is_no_error():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(8, 3))
    shifted = scores + np.array([0.0, 10.0, -7.0])
    assert reliability(shifted) == pytest.approx(reliability(scores))


def test_the_interval_covers_what_was_planted():
    rng, heads, seeds, ratio = np.random.default_rng(1), 8, 3, 4.0
    true = 1 - 1 / (1 + seeds * ratio)
    covered = 0
    for _ in range(2000):
        scores = rng.normal(size=(heads, 1)) * ratio**0.5 + rng.normal(size=(heads, seeds))
        found = reliability(scores)
        covered += found.low <= true <= found.high
    assert 0.935 < covered / 2000 < 0.965


@pytest.mark.parametrize('shape', [(1, 3), (3, 1)])
def test_too_few_are_refused(shape):
    with pytest.raises(ValueError, match='needs two heads and two seeds'):
        reliability(np.zeros(shape))


def test_a_gate_is_judged_by_last_figures_of_heads_with_all_seeds():
    rows = crossed_rows([[30.0, 31.0], [34.0, 33.0], [38.0, 38.5], [20.0, 20.0]])
    del rows[-1]
    found = gate(rows, {'a0': 40.0, 'a1': 42.0, 'a2': 41.0, 'other': 1.0})
    assert (found.heads, found.seeds, found.shared) == (3, 2, 3)
    assert found.correlation == pytest.approx(0.5)
    assert found.spread == pytest.approx(np.std([30.5, 33.5, 38.25], ddof=1))
    assert found.seconds == 30.0
    assert found.linear == pytest.approx(found.reliability)  # of doubled scores
    mean = np.mean([30.0, 31.0, 34.0, 33.0, 38.0, 38.5, 20.0])
    assert found.learned == pytest.approx((0.0, mean, 1.0, 2 * mean))


def test_committed_scores_are_means_over_seeds(tmp_path):
    for number, (head, score) in enumerate([('one', 30.0), ('one', 32.0), ('two', 5.0)]):
        folder = tmp_path / f'runs/simclr_{number}'
        folder.mkdir(parents=True)
        row = {'head': head, 'metrics': {'knn_fixed_test': score, 'loss': -score}}
        (folder / 'row.json').write_text(json.dumps(row))
    (tmp_path / 'runs/simclr_search').mkdir()
    (tmp_path / 'runs/simclr_search/row.json').write_text('{"head": "x", "metrics": {"loss": 1}}')
    assert committed_scores(tmp_path, 'simclr') == {'one': 31.0, 'two': 5.0}
    assert committed_scores(tmp_path, 'byol') == {}
    assert loss_ranks(tmp_path, 'simclr') == (pytest.approx(-1), 3)
