# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
import numpy as np
import pytest
from scipy import stats

from benchmarks.backbones.equals import compare, equals_of
from tests.benchmarks.test_backbones.planted import as_rows

KINDS = ['searched', 'hand-made', *['random'] * 5, 'random']
SIZES = [1000, 1090, 900, 950, 1000, 1050, 1100, 1101]


@pytest.fixture
def rows():
    values = np.array([[60, 58, 50, 52, 54, 56, 58, 90], [10, 12, 10, 10, 10, 10, 11, 90]], float)
    return as_rows(np.repeat(values[..., None], 3, 2), SIZES, ('cifar10', 'digits'), KINDS)


def test_equals_are_within_a_tenth_of_the_parameters(rows):
    assert equals_of(rows, 'b000', 'random') == ['b002', 'b003', 'b004', 'b005', 'b006']
    assert equals_of(rows, 'b000', 'hand-made') == ['b001']
    assert equals_of(rows, 'b000', 'hand-made', within=0.05) == []
    with pytest.raises(ValueError, match="no backbone 'x' in the rows"):
        equals_of(rows, 'x', 'random')


def test_a_searched_one_is_compared_task_by_task(rows):
    found = {(c.kind, c.task): c for c in compare(rows)}
    assert set(found) == {
        (k, t) for k in ('hand-made', 'random') for t in ('', 'cifar10', 'digits')
    }
    cifar = found['random', 'cifar10']
    assert (cifar.equals, cifar.difference, cifar.place) == (5, 6.0, 1)
    theirs = [50, 52, 54, 56, 58]
    half = stats.t.ppf(0.975, 4) * np.std(theirs, ddof=1) * np.sqrt(1.2)
    assert (cifar.low, cifar.high) == pytest.approx((-half, half))
    digits = found['random', 'digits']
    assert (digits.difference, digits.place) == (pytest.approx(-0.2), 6)  # ties count against it
    assert found['random', ''].difference == pytest.approx((6 - 0.2) / 2)
    by_hand = found['hand-made', 'digits']
    assert (by_hand.equals, by_hand.difference, by_hand.place) == (1, -2.0, 2)
    assert np.isnan(by_hand.low)


def test_the_interval_of_chance_holds_95_percent():
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(300):
        values = rng.normal(size=(1, 6, 1)).repeat(3, 2)
        rows = as_rows(values, [1000] * 6, ('cifar10',), ['searched', *['random'] * 5])
        found = {c.task: c for c in compare(rows)}['cifar10']
        inside += found.low <= found.difference <= found.high
    assert 0.91 <= inside / 300 <= 0.985
