# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Time left over steps, by a clock that the test sets."""

import time

import pytest

from nasiam_mm.console.screen import Console
from nasiam_mm.console.steps import Steps, share_of_epochs
from nasiam_mm.console.terms import duration


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(time, 'monotonic', lambda: now[0])
    return now


def test_the_rest_is_estimated_by_the_shares_of_what_ran(clock, capsys):
    steps = Steps(Console(bar=False), {'first': 1, 'second': 60, 'third': 39})
    steps.begin('first')
    assert steps.left(0.0) is None
    clock[0] += 5
    steps.end()
    assert steps.left(0.0) is None  # a hundredth of all says nothing
    steps.begin('second')
    clock[0] += 55
    # 60 seconds for 1 + 30 of 100 units.
    assert steps.left(0.5) == pytest.approx(60 / 31 * 69)
    clock[0] += 62
    steps.end()
    assert steps.left(0.0) == pytest.approx(122 / 61 * 39)
    assert capsys.readouterr().out.splitlines() == [
        '1/3 first',
        '  done in 0:05',
        '2/3 second',
        '  done in 1:57, about 1:18 left',
    ]


def test_what_was_done_before_is_no_measure_of_the_rest(clock, capsys):
    steps = Steps(Console(bar=False), {'first': 50, 'second': 25, 'third': 25})
    steps.begin('first')
    steps.end(is_new=False)
    assert steps.left(0.0) is None
    steps.begin('second')
    clock[0] += 10
    assert steps.left(0.5) == pytest.approx(30)
    steps.end()
    steps.begin('third')
    steps.end()
    assert capsys.readouterr().out.splitlines()[1] == '  done already'
    assert steps.left(0.0) == 0


@pytest.mark.parametrize(
    ('text', 'share'),
    [
        ('', 0.0),
        ('log: epoch 9/9\nepoch 1/4: loss 3\nepoch 3/4: loss 2, left 0:10\n', 0.75),
        ('warning: epoch 2/4: no\n', 0.0),
    ],
)
def test_the_last_epoch_of_a_console(text, share):
    assert share_of_epochs(text) == share


@pytest.mark.parametrize(
    ('seconds', 'text'), [(-1, '0:00'), (7.4, '0:07'), (59.6, '1:00'), (3723, '1:02:03')]
)
def test_duration(seconds, text):
    assert duration(seconds) == text
