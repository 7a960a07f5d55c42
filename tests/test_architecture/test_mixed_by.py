# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Mixing by given weights, and back."""

import pytest
import torch

from nasiam_mm.architecture.alpha import Architecture
from nasiam_mm.architecture.choice import op_choices
from nasiam_mm.ops.candidates import SPACES, LayerShape

SAME = LayerShape(6, 6)


@pytest.mark.parametrize('sampled_in', [[], ['weights']])
def test_given_weights_hold_within_and_what_was_drawn_after(sampled_in):
    heads = ('projector', 'predictor')
    choices = {head: op_choices(head, SPACES['S'], (SAME, SAME)) for head in heads}
    owner = Architecture(choices, dict(type='GumbelStraightThrough'), sampled_in)
    owner.sample(0, 1, 'weights')
    before = {head: (owner.weights(head), owner.running(head)) for head in heads}
    plain = owner.weights('projector', drawn=False)
    given = {head: torch.tensor([[0.5, 0, 0, 2.0], [0, 0, 1.0, 0]]) for head in heads}
    with pytest.raises(KeyError), owner.mixed_by(given):
        assert torch.equal(owner.weights('predictor'), given['predictor'])
        assert owner.running('predictor') == ((0, 3), (2,))
        assert torch.equal(owner.weights('projector', drawn=False), plain)
        with owner.mixed_by({head: 1 - rows.clamp(0, 1) for head, rows in given.items()}):
            assert owner.running('projector') == ((0, 1, 2), (0, 1, 3))
        assert owner.running('projector') == ((0, 3), (2,))
        with owner.mixed_by(given, dict.fromkeys(heads, ((0, 1, 3), (2,)))):
            assert owner.running('projector') == ((0, 1, 3), (2,))
        raise KeyError
    for head in heads:
        assert torch.equal(owner.weights(head), before[head][0])
        assert owner.running(head) == before[head][1]
