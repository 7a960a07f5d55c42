# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""TPE finds more than random search where there is something to find."""

from tests.test_study.landscapes import beats, gains, ties


def test_tpe_finds_more_than_random_search():
    assert beats(gains(dict(type='TPE'), 60, 16), gains(dict(type='Random'), 60, 16))


def test_random_search_and_tpe_tie_on_noise():
    noise = dict(blind=True)
    assert ties(
        gains(dict(type='TPE'), 25, 16, **noise), gains(dict(type='Random'), 25, 16, **noise)
    )
