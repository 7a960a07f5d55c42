# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims: cheaper scores are ranked against the dear ones, on heads and seeds that both have."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from benchmarks.heads.answers import chosen, dear_ranked
from benchmarks.heads.fidelity import fidelities
from benchmarks.heads.points import points

HEADS = [f'h{n:02}' for n in range(12)]


def row(scale, head, seed, curve, seconds=1.0, **more):
    fixed = dict(framework='simclr', scale=scale, head=head, seed=seed, seconds=seconds)
    return fixed | dict(knn_test=list(map(float, curve))) | more


@pytest.fixture
def rows():
    """Heads whose dear score is their number; cheap ones agree at their end, and begin reversed."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(12, 2, 4))
    found = []
    for n, head in enumerate(HEADS):
        for seed in (0, 1):
            found.append(row('dear', head, seed, [0, 0, 0, 0, n], seconds=100.0))
            found.append(row('narrow', head, seed, [-n, *noise[n, seed, :2], n], seconds=8.0))
        found.append(row('narrow', head, 2, [50 - n] * 4))  # of a seed without a dear run
        found.append(row('thumb', head, 0, [n] * 4))  # of one seed alone
    found.append(row('narrow', 'standard', 0, [99] * 4))
    return found


def test_ranks_are_spearman_of_the_means_of_shared_seeds(rows):
    found = fidelities(rows, 'simclr', resamples=200)
    assert [(of.scale, of.epoch, of.heads, of.seconds) for of in found] == [
        ('narrow', epoch, 12, 2.0 * epoch) for epoch in (1, 2, 3, 4)
    ]
    assert found[0].value == pytest.approx(-1) and found[-1].value == pytest.approx(1)
    curves = {head: [] for head in HEADS}
    for of in rows:
        if of['scale'] == 'narrow' and of['seed'] < 2 and of['head'] in curves:
            curves[of['head']].append(of['knn_test'][1])
    second = [np.mean(curves[head]) for head in HEADS]
    assert found[1].value == pytest.approx(spearmanr(second, range(12))[0])
    assert found[1].low < found[1].value < found[1].high
    assert found[-1].low == pytest.approx(1) and found[-1].high == pytest.approx(1)


def test_nothing_is_told_of_few_heads(rows):
    few = [of for of in rows if of['head'] in HEADS[:3]]
    assert fidelities(few, 'simclr') == [] and dear_ranked(few, 'simclr') == ''
    assert fidelities(rows, 'byol') == []
    assert dear_ranked(rows, 'simclr').count('| narrow | ') == 4


def test_the_ceiling_is_the_root_of_the_reliability_of_the_dear_means(rows):
    assert dear_ranked(rows, 'simclr').endswith('expected to reach +1.00.')
    rng = np.random.default_rng(1)
    scores = np.arange(12)[:, None] + rng.normal(0, 4, (12, 2))
    for of in rows:
        if of['scale'] == 'dear':
            of['knn_test'][-1] = scores[HEADS.index(of['head']), of['seed']]
    # Two columns: Spearman and Brown's formula of their covariance over their mean variance.
    covariance = np.cov(scores.T)
    ratio = covariance[0, 1] / np.trace(covariance) * 2
    root = (2 * ratio / (1 + ratio)) ** 0.5
    assert 0.5 < root < 0.98
    assert dear_ranked(rows, 'simclr').endswith(f'expected to reach {root:+.2f}.')


def test_points_are_means_over_the_searches_of_a_strategy():
    rows = [
        row('narrow', f'darts_pt-{seed}', seed, [0, score], 10.0, search_seconds=20.0 + seed)
        for seed, score in enumerate((30, 31, 35))
    ]
    rows += [
        row('narrow', 'fair-0', 0, [40], 7.0, search_seconds=3.0),
        row('narrow', 'h00', 0, [50]),
    ]
    best, other = points(rows, 'simclr', 'narrow')
    assert best[:3] == ('fair', 1, 40.0) and np.isnan(best.deviation)
    assert other == ('darts_pt', 3, 32.0, np.std([30, 31, 35], ddof=1), 21.0, 31.0)
    assert '| darts_pt | 3 | 32.00 ± 2.65 | 21 | 31 |' in chosen(rows, 'simclr', 'narrow')
    rows += [row('narrow', 'standard', seed, [score], 9.0) for seed, score in ((0, 1), (1, 3))]
    rows += [row('narrow', f'random-{n}', seed, [n]) for n in (1, 2, 6) for seed in (0, 1)]
    told = chosen(rows, 'simclr', 'narrow')
    assert 'The standard head has 2.00 ± 1.41 (2 runs of 9 s); 3 random heads' in told
    assert told.endswith('3.00 (1.00 to 6.00).')
    assert points(rows, 'simclr', 'thumb') == [] and chosen(rows, 'simclr', 'thumb') == ''
