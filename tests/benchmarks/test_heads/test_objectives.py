# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
import numpy as np
import pytest
from scipy.stats import spearmanr

from benchmarks.heads.objectives import OBJECTIVES, rankings, standard_ranks, within
from benchmarks.heads.table import Table


def planted(figures, goal, decided=None):
    """A table of (heads, seeds) arrays, by name; what is not given is noise."""
    rng = np.random.default_rng(3)
    heads, seeds = goal.shape
    arrays = {name: rng.normal(size=goal.shape) for name in OBJECTIVES} | figures
    rows = {
        f'h{h}': {
            s: {name: [0.0, float(of[h, s])] for name, of in arrays.items()}
            | {'knn_test': [0.0, float(goal[h, s])]}
            for s in range(seeds)
        }
        for h in range(heads)
    }
    return Table([*rows], range(seeds), decided or [{}] * heads, rows)


@pytest.fixture(scope='module')
def truth():
    return np.linspace(0, 10, 60)[:, None] + np.random.default_rng(0).normal(size=(60, 3)) * 0.1


def test_signs_and_chance(truth):
    table = planted(
        {'knn_val': truth, 'loss': truth, 'alpha_req': 1 - truth / 5, 'lidar': -truth}, truth
    )
    found = {ranking.objective: ranking for ranking in rankings([table], resamples=100)}
    assert found['knn_val'].value > 0.99
    assert found['lidar'].value < -0.99
    assert found['loss'].value < -0.99  # more of it is worse by its sign
    assert found['alpha_req'].value < -0.99  # the further from 1 the better, planted so
    assert found['rankme'].low < 0 < found['rankme'].high
    assert found['knn_val'].epoch == 2
    assert all(ranking.low <= ranking.value <= ranking.high for ranking in found.values())


def test_what_a_seed_does_to_both_is_no_agreement():
    noise = np.random.default_rng(5).normal(size=(200, 3))
    found = {
        ranking.objective: ranking
        for ranking in rankings([planted({'knn_val': noise}, noise)], resamples=1)
    }
    assert abs(found['knn_val'].value) < 0.15


def test_rank_correlation_is_scipys():
    one, other = np.random.default_rng(1).integers(5, size=(2, 30))  # with ties
    found = standard_ranks(one) @ standard_ranks(other)
    assert found == pytest.approx(spearmanr(one, other)[0])
    assert np.isnan(standard_ranks(np.ones((3, 2)))).all()


def test_a_table_is_cut_by_the_options_of_a_choice(truth):
    decided = [{'temperature': 0.1 if n % 3 else 0.5} for n in range(60)]
    low, high = within(planted({}, truth, decided), 'temperature')
    assert (len(low.heads), len(high.heads)) == (40, 20)
    assert high.heads[1] == 'h3'
    assert high.scores('knn_test')[1] == pytest.approx(truth[3])


def test_within_options_a_figure_ranks_by_what_is_left(truth):
    decided = [{'temperature': 0.1 if n < 30 else 0.5} for n in range(60)]
    by_option = np.repeat([0.0, 5.0], 30)[:, None] + np.random.default_rng(2).normal(size=(60, 3))
    table = planted({'loss': -by_option, 'knn_val': truth}, truth, decided)
    whole, inside = (
        {ranking.objective: ranking for ranking in rankings(of, resamples=100)}
        for of in ([table], within(table, 'temperature'))
    )
    assert whole['loss'].value > 0.7
    assert abs(inside['loss'].value) < 0.2 and inside['loss'].low < 0 < inside['loss'].high
    assert inside['knn_val'].value > 0.95
    # What the score itself reaches on other seeds is the ceiling.
    assert whole['knn_test'].value == pytest.approx(whole['knn_val'].value)
