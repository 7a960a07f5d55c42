# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Rank correlations against known matrices, scipy, and programs of their own."""

import numpy as np
import pytest
from scipy import stats

from benchmarks.backbones.correlations import (
    bootstrap,
    correlate,
    holm,
    interval,
    p_values,
    pairs,
    reliabilities,
)
from tests.benchmarks.test_backbones.planted import planted

LOADINGS = [0.9, 0.8, 0.6, 0.3, 0.0]


def spearman_of(pearson):
    """Rank correlation of two normal variables (Pearson, 1907)."""
    return 6 / np.pi * np.arcsin(pearson / 2)


def off(matrix):
    return matrix[pairs(len(matrix))]


def test_a_planted_factor_gives_its_matrix():
    values, sizes = planted(LOADINGS, 20_000)
    found = correlate(values, sizes)
    known = spearman_of(np.outer(LOADINGS, LOADINGS))
    np.testing.assert_allclose(off(found.raw), off(known), atol=0.02)
    # Sizes say nothing here, and without noise there is nothing to correct.
    np.testing.assert_allclose(off(found.partial), off(known), atol=0.02)
    np.testing.assert_allclose(found.corrected, found.raw, atol=1e-9)
    np.testing.assert_allclose(found.reliability, 1, atol=1e-9)


def test_noise_attenuates_and_is_corrected_for():
    noise = 1.5
    values, sizes = planted(LOADINGS, 20_000, noise=noise)
    found = correlate(values, sizes)
    alike = spearman_of(1 / (1 + noise**2))  # of two repetitions
    expected = 3 * alike / (1 + 2 * alike)  # of the mean of three (Spearman-Brown)
    np.testing.assert_allclose(found.reliability, expected, atol=0.015)
    reliability = 1 / (1 + noise**2 / 3)  # of the scores that are ranked
    known = np.outer(LOADINGS, LOADINGS)
    np.testing.assert_allclose(off(found.raw), off(spearman_of(reliability * known)), atol=0.02)
    np.testing.assert_allclose(off(found.corrected), off(spearman_of(known)), atol=0.03)
    assert off(found.raw).max() < off(spearman_of(known)).max() - 0.2


def test_what_goes_with_size_is_taken_out():
    noise = 1.0
    values, sizes = planted([0, 0, 0.7, 0.7], 20_000, noise=noise, by_size=2.0)
    found = correlate(values, sizes)
    assert off(found.raw).min() > 0.6  # by size alone
    # Ranks are not quite normal, so that a little of it stays.
    known = np.zeros((4, 4))
    known[2, 3] = 0.7**2
    np.testing.assert_allclose(off(found.corrected_partial), off(known), atol=0.06)
    shrunk = found.partial[2, 3]
    assert 0.2 < shrunk < found.corrected_partial[2, 3] - 0.05


def test_matrices_are_those_of_scipy_and_of_residuals():
    values, sizes = planted(LOADINGS, 24, noise=1.0, by_size=0.7, seed=3)
    found = correlate(values, sizes)
    means = values.mean(2)
    expected = stats.spearmanr(means, axis=1)
    np.testing.assert_allclose(found.raw, expected.statistic, atol=1e-12)
    np.testing.assert_allclose(off(p_values(found.raw, 24)), off(expected.pvalue), rtol=1e-9)
    # Partial: ranks regressed on the ranks of size, and what is left correlated.
    ranks, of_size = stats.rankdata(means, axis=1), stats.rankdata(np.log(sizes))
    left = [
        rank - np.polyval(np.polyfit(of_size, rank, 1), of_size) for rank in ranks.astype(float)
    ]
    np.testing.assert_allclose(found.partial, np.corrcoef(left), atol=1e-10)
    one, two = left[0], left[1]
    fit = stats.linregress(one, two)
    t = fit.rvalue * np.sqrt(21 / (1 - fit.rvalue**2))
    expected = 2 * stats.t.sf(abs(t), 21)
    assert p_values(found.partial, 24, 1)[0, 1] == pytest.approx(expected, rel=1e-9)


def test_reliability_is_that_of_a_two_way_table():
    values, _ = planted([0.5], 12, noise=1.0, seed=1)
    ranks = stats.rankdata(values[0], axis=0)
    rows, columns, total = ranks.mean(1), ranks.mean(0), ranks.mean()
    between = 3 * sum((row - total) ** 2 for row in rows) / 11
    error = (
        sum((ranks[n, m] - rows[n] - columns[m] + total) ** 2 for n in range(12) for m in range(3))
        / 22
    )
    assert reliabilities(values)[0] == pytest.approx(1 - error / between)
    noise = np.random.default_rng(0).normal(size=(400, 12, 3))
    assert abs(np.median(reliabilities(noise))) < 0.1
    # One that is not reliable is corrected for nothing.
    values, sizes = planted([0.9, 0.9], 40, seed=2)
    values[1] = np.random.default_rng(4).permuted(values[1], axis=0)
    values[1, :, 1:] = -values[1, :, :1]
    found = correlate(values, sizes)
    assert np.isnan(found.corrected[0, 1]) and np.isfinite(found.raw[0, 1])


def test_intervals_are_those_of_scipys_bootstrap():
    values, sizes = planted([0.8, 0.8], 30, noise=0.7, seed=5)
    drawn = bootstrap(values, sizes, resamples=700, seed=1)
    means = values.mean(2)

    def rank(one, two):
        return stats.spearmanr(one, two).statistic

    expected = stats.bootstrap(
        tuple(means), rank, paired=True, vectorized=False, n_resamples=700,
        method='percentile', rng=np.random.default_rng(2),
    ).confidence_interval  # fmt: skip
    low, high = interval(drawn['raw'])
    assert low[0, 1] == pytest.approx(expected.low, abs=0.04)
    assert high[0, 1] == pytest.approx(expected.high, abs=0.04)
    # Every kind, drawn and computed by hand.
    rng = np.random.Generator(np.random.PCG64(1))
    rows = rng.integers(30, size=(700, 30))
    for turn in (0, 7):
        found = correlate(values[:, rows[turn]], sizes[rows[turn]])
        for kind in drawn:
            np.testing.assert_array_equal(drawn[kind][turn], getattr(found, kind))


def test_intervals_cover():
    """95 % of them hold the truth, of 40 studies of 40 backbones."""
    truth, hits = spearman_of(0.64), 0
    for seed in range(40):
        values, sizes = planted([0.8, 0.8], 40, repetitions=2, seed=seed)
        low, high = interval(bootstrap(values, sizes, resamples=80, seed=seed)['raw'][:, 0, 1])
        hits += low <= truth <= high
    assert 33 <= hits < 40  # of 80 resamples the quantiles are a little narrow


def test_holm_by_hand():
    p = np.array([0.04, 0.001, 0.03, 0.5])
    np.testing.assert_allclose(holm(p), [0.09, 0.004, 0.09, 0.5])
    assert holm(np.array([0.9, 0.8])).tolist() == [1.0, 1.0]
    assert len(pairs(11)[0]) == 55
