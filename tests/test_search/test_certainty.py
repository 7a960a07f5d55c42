# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims: a choice is undecided where its lead is within twice the noise of the later epochs."""

from itertools import pairwise

import numpy as np
import pytest

from nasiam_mm.architecture.choice import Choice
from nasiam_mm.architecture.genotype import Decision
from nasiam_mm.search.certainty import doubt, is_within_noise, leads, undecided

NAN = float('nan')


def by_hand(lead):
    """Tell the same without numpy's help."""
    late = lead[len(lead) // 2 :]
    changes = [b - a for a, b in pairwise(late)]
    mean = sum(changes) / len(changes)
    variance = sum((change - mean) ** 2 for change in changes) / (len(changes) - 1)
    return lead[-1] <= 2 * variance**0.5


def test_it_is_the_definition():
    found = set()
    for seed in range(40):
        generator = np.random.default_rng(seed)
        lead = 0.1 + 0.05 * generator.standard_normal(9)
        found.add(is_within_noise(lead))
        assert is_within_noise(lead) == by_hand(list(lead))
    assert found == {True, False}


def test_only_the_second_half_counts():
    wild = [0.9, -0.9, 0.9, -0.9, 0.9]
    assert not is_within_noise(np.array([*wild, 0.50, 0.51, 0.52, 0.53, 0.54]))
    assert is_within_noise(np.array([0.50, 0.51, 0.52, 0.53, 0.54, *wild]))


@pytest.mark.parametrize(
    ('lead', 'expected'),
    [
        ([0.0] * 9, True),  # alpha never moved
        (np.linspace(0, 0.01, 9), False),  # it grows and grows
        (-np.linspace(0, 0.01, 9), True),  # what was passed over leads
        ([0, 0.1, 0.2, 0.3, 0.4], True),  # two changes are too few
        ([0, 0.1, 0.2, 0.3, 0.4, 0.5], True),
        ([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6], False),
        ([np.inf], False),  # there was no choice
    ],
)
def test_ends_of_the_scale(lead, expected):
    assert is_within_noise(np.array(lead)) is expected


def test_leads_are_of_the_lowest_taken_over_the_highest_left():
    weights = np.array([[0.4, 0.3, NAN, 0.2, 0.1], [0.1, 0.5, NAN, 0.2, 0.2]])
    one, two, every = (np.isin(range(5), taken) for taken in ([1], [0, 1], [0, 1, 3, 4]))
    assert leads(weights, one) == pytest.approx([-0.1, 0.3])
    assert leads(weights, two) == pytest.approx([0.1, -0.1])
    assert np.isinf(leads(weights, every)).all()


def test_choices_are_named_in_order():
    options = ('a', 'b', 'c')
    choices = {
        'projector': (Choice('projector.0.op', options, (True,) * 3),
                      Choice('projector.1.op', options, (True, False, False))),
        'predictor': (Choice('predictor.0.op', options, (True, True, False)),),
    }  # fmt: skip
    decisions = {row.name: Decision(options, ('a',)) for rows in choices.values() for row in rows}
    steady = np.linspace(0.4, 0.6, 9)
    noisy = 0.5 + 0.1 * np.array([0, 1, 0, 1, 0, 1, 0, 1, 0])
    first = np.stack([steady, 1 - steady - 0.1, np.full(9, 0.1)], 1)
    alone = np.stack([np.ones(9), np.full(9, NAN), np.full(9, NAN)], 1)
    second = np.stack([noisy, 1 - noisy, np.full(9, NAN)], 1)
    history = {'projector': np.stack([first, alone], 1), 'predictor': second[:, None]}
    assert undecided(history, choices, decisions) == ['predictor.0.op']
    decisions['projector.0.op'] = Decision(options, ('b',))
    assert undecided(history, choices, decisions) == ['projector.0.op', 'predictor.0.op']


def test_lines():
    assert doubt(['projector.0.op', 'predictor.1.op'], 6, 50) == (
        '2 of 6 choices are within noise: projector.0.op, predictor.1.op; '
        'the genotype is close to a random one there'
    )
    assert doubt(['projector.0.op'], 6, 6) == (
        '6 records of alpha are too few to tell 1 of 6 choices from noise: projector.0.op; '
        'search for more epochs before you trust the genotype'
    )
    many = [f'projector.{n}.op' for n in range(14)]
    assert 'projector.11.op and 2 more; the' in doubt(many, 20, 7)
    assert len(doubt(many, 20, 7)) < 300
