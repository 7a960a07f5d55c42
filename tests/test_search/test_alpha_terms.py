# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims: gradients of the terms of alpha are the written ones, and of candidates alone."""

import pytest
import torch

from nasiam_mm.search.gradient.alpha_terms import Entropy, ZeroOne
from tests.test_search.alpha_steps import (
    finite_differences,
    gradient_of,
    model_of,
    owner_of_alpha,
    step_of,
)


def close(one, other, **tolerance):
    return torch.allclose(one, other, **dict(rtol=1e-12, atol=1e-14) | tolerance)


@pytest.mark.parametrize('drops', [False, True])
def test_zero_one_is_the_formula_of_the_paper(drops):
    owner = owner_of_alpha('Sigmoid')
    if drops:
        owner.drop('projector', 1, [0, 2])
    present, step = owner.present('projector'), step_of(owner)
    value, gradient = gradient_of(ZeroOne(), step)
    s, count = owner.alpha('projector').detach().sigmoid(), int(present.sum())
    assert count < present.numel()
    assert close(value, -((s - 0.5)[present] ** 2).sum() / count)
    assert close(gradient, torch.where(present, -2 * (s - 0.5) * s * (1 - s) / count, 0))
    assert close(gradient, finite_differences(ZeroOne(), step), atol=1e-8)
    owner.alpha('projector').data.zero_()
    assert not gradient_of(ZeroOne(), step)[1].any()


def test_zero_one_is_for_gates():
    assert ZeroOne().weight == 10
    ZeroOne().check(model_of(owner_of_alpha('Sigmoid')))
    with pytest.raises(ValueError, match='ZeroOne is for gates, not for Softmax; take Entropy'):
        ZeroOne().check(model_of(owner_of_alpha()))


@pytest.mark.parametrize('drops', [False, True])
def test_entropy_is_the_formula_of_a_softmax(drops):
    owner = owner_of_alpha(temperature=1.0)
    if drops:
        owner.drop('projector', 0, [3])
    step = step_of(owner)
    value, gradient = gradient_of(Entropy(1.0), step)
    p = owner.weights('projector').detach()
    entropy = torch.special.entr(p).sum(1, keepdim=True)
    assert close(value, entropy.mean())
    expected = torch.where(p > 0, -p * (p.clamp_min(1e-300).log() + entropy), 0) / len(p)
    assert close(gradient, expected)
    assert close(gradient, finite_differences(Entropy(1.0), step), atol=1e-8)
    # A step down it sharpens.
    owner.alpha('projector').data -= 0.1 * gradient
    assert gradient_of(Entropy(1.0), step)[0] < value


def test_entropy_of_gates_is_that_of_their_shares():
    owner = owner_of_alpha('Sigmoid')
    step = step_of(owner)
    value, gradient = gradient_of(Entropy(1.0), step)
    gates = owner.weights('projector').detach()
    share = gates / gates.sum(1, keepdim=True)
    assert close(value, torch.special.entr(share).sum(1).mean())
    assert close(gradient, finite_differences(Entropy(1.0), step), atol=1e-8)


def test_entropy_of_what_is_uniform_or_decided_has_a_finite_gradient():
    owner = owner_of_alpha()
    alpha, present = owner.alpha('projector').data, owner.present('projector')
    value, gradient = gradient_of(Entropy(1.0), step_of(owner))
    alpha.zero_()
    value, gradient = gradient_of(Entropy(1.0), step_of(owner))
    assert close(value, present.sum(1).double().log().mean()) and gradient.abs().max() < 1e-15
    alpha[:, 0] = 1e4  # the others underflow
    value, gradient = gradient_of(Entropy(1.0), step_of(owner))
    assert value == 0 and gradient.isfinite().all()
