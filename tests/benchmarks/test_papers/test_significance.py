# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Comparison of rows: against the closed forms of Student's t with one and two degrees."""

import math

import pytest

from benchmarks.papers.significance import compare, mean_and_deviation


def test_mean_and_sample_deviation():
    assert mean_and_deviation([1.0, 2.0, 6.0]) == (3.0, pytest.approx(math.sqrt(7)))
    assert mean_and_deviation([4.5]) == (4.5, None)


def test_paired_by_seed_with_one_degree_of_freedom():
    # Differences 1 and 3: t = 2 / (sqrt(2) / sqrt(2)) = 2; Student's t of one degree is Cauchy.
    result = compare({0: 11.0, 7: 13.0}, {7: 10.0, 0: 10.0})
    assert result.difference == 2
    assert result.paired == pytest.approx(1 - 2 * math.atan(2.0) / math.pi)


def test_welch_with_two_degrees_of_freedom():
    # Equal variances 2 and sizes 2: t = 4 / sqrt(2), two degrees: p = 1 - t / sqrt(2 + t^2).
    result = compare({0: 5.0, 1: 7.0}, {2: 1.0, 3: 3.0})
    t = 4 / math.sqrt(2)
    assert result.welch == pytest.approx(1 - t / math.sqrt(2 + t * t))
    assert result.paired is None


def test_pairing_finds_what_seeds_hide():
    first = {0: 40.0, 1: 50.0, 2: 60.0}
    result = compare(first, {0: 39.0, 1: 49.1, 2: 58.9})
    assert result.paired < 0.01
    assert result.welch > 0.5


def test_order_flips_the_sign_only():
    first, second = {0: 1.0, 1: 2.0, 2: 4.0}, {0: 2.0, 1: 5.0, 2: 4.5}
    there, back = compare(first, second), compare(second, first)
    assert there.difference == -back.difference
    assert there.paired == pytest.approx(back.paired)
    assert there.welch == pytest.approx(back.welch)


@pytest.mark.parametrize(
    ('first', 'second', 'note'),
    [
        ({0: 3.0}, {0: 1.0, 1: 2.0}, 'n=1, no test'),
        ({0: 3.0, 1: 3.0}, {0: 1.0, 1: 1.0}, 'no deviation, no test'),
    ],
)
def test_too_little_is_not_tested(first, second, note):
    result = compare(first, second)
    assert (result.welch, result.paired, result.note) == (None, None, note)
    assert result.difference == pytest.approx(
        sum(first.values()) / len(first) - sum(second.values()) / len(second)
    )


def test_an_empty_row_is_refused():
    with pytest.raises(ValueError, match='at least one figure'):
        compare({}, {0: 1.0})
