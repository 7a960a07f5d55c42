# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""c(n_max, k): against the published table, closed forms and a plain simulation; refusals."""

import time

import numpy as np
import pytest
from scipy import stats

from nasiam_mm.study.boundary import PUBLISHED, critical_p, simulated_p

# A second each.
ENTRIES = [(6, 1), (10, 2), (30, 3)]


@pytest.mark.parametrize(('most', 'k'), ENTRIES)
def test_simulated_is_the_table(most, k):
    start = time.process_time()
    found = simulated_p(most, 0.05 / k)
    assert time.process_time() - start < 3
    # The table has four places.
    assert abs(found - PUBLISHED[most, k]) <= 0.03 * PUBLISHED[most, k] + 0.5e-4


def test_the_table_is_taken_where_it_has_an_entry():
    assert critical_p(10, 1) == 0.0135 and critical_p(6, 5) == 0.0034
    assert len(PUBLISHED) == 25


def test_one_look_is_the_level_itself():
    assert critical_p(3, 2) == 0.025
    assert simulated_p(3, 0.025) == pytest.approx(0.025, rel=0.02)


def test_a_plain_simulation_agrees():
    data = np.random.default_rng(5).normal(size=(5_000, 5))
    looks = [stats.ttest_1samp(data[:, :n], 0, 1, alternative='greater').pvalue for n in (3, 4, 5)]
    share = (np.min(looks, 0) <= critical_p(5, 1, 0.1)).mean()
    assert share == pytest.approx(0.1, abs=4 * np.sqrt(0.1 * 0.9 / 5_000))


def test_it_is_the_same_each_time_and_kept():
    first = critical_p(7, 2)
    start = time.process_time()
    assert critical_p(7, 2) == first
    assert time.process_time() - start < 0.01
    simulated_p.cache_clear()
    assert critical_p(7, 2) == first


def test_more_looks_and_candidates_make_it_smaller():
    for most in (6, 8, 10, 20, 30):
        row = [critical_p(most, k) for k in range(1, 6)]
        assert row == sorted(row, reverse=True) and all(
            c < 0.05 / (n + 1) for n, c in enumerate(row)
        )
    assert critical_p(6) > critical_p(8) > critical_p(10) > critical_p(20) > critical_p(30)


@pytest.mark.parametrize(
    ('settings', 'says'),
    [
        (dict(max_seeds=2), 'max_seeds must be a whole number from 3'),
        (dict(max_seeds=6.0), 'max_seeds'),
        (dict(max_seeds=True), 'max_seeds'),
        (dict(max_seeds=6, candidates=0), 'candidates must be'),
        (dict(max_seeds=6, alpha=0.5), 'alpha must be'),
        (dict(max_seeds=6, alpha=float('nan')), 'alpha must be'),
    ],
)
def test_what_is_not_usable_is_refused(settings, says):
    with pytest.raises(ValueError, match=says):
        critical_p(**settings)
