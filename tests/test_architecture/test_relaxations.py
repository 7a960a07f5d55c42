# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Shipped relaxations against closed forms; draws against the probabilities said of them."""

import math

import pytest
import torch

from nasiam_mm.architecture.relaxation import RELAXATIONS, Sigmoid, Softmax
from nasiam_mm.architecture.sampling import GumbelStraightThrough, TwoPathGates, UniformSampling

ALPHA = torch.tensor([[0.3, -1.2, 0.9, 0.1], [0.0, 0.4, -0.5, 2.0]], dtype=torch.double)
PRESENT = torch.tensor([[True, True, True, True], [True, False, True, True]])
PROBABILITY = ALPHA.masked_fill(~PRESENT, -math.inf).softmax(1)
DRAWS = 20_000
# Of chi-square at 3 degrees of freedom, one in 10,000 is beyond.
LIMIT = 21.1


def noise_of(relaxation, seed, rows=2):
    noise = torch.empty(rows, 4, dtype=torch.double)
    relaxation.sample(noise, torch.Generator().manual_seed(seed))
    return noise


def chi_square(counts, expected):
    here = expected > 0
    assert counts[~here].sum() == 0
    return ((counts[here] - expected[here]) ** 2 / expected[here]).sum().item()


def many(relaxation, alpha, present):
    """Noise for many draws at once: a layer each."""
    noise = noise_of(relaxation, 7, rows=DRAWS)
    return alpha.expand(DRAWS, 4), present.expand(DRAWS, 4), noise


def test_softmax_divides_alpha_by_its_temperature():
    weights = Softmax(temperature=0.5).weights(ALPHA, PRESENT, None)
    for row, here, alpha in zip(weights, PRESENT, ALPHA, strict=True):
        terms = torch.where(here, (alpha / 0.5).exp(), 0.0)
        torch.testing.assert_close(row, terms / terms.sum())
    assert torch.equal(Softmax().weights(ALPHA, PRESENT, None), PROBABILITY)


def test_sigmoid_gates_do_not_compete():
    alpha = ALPHA.clone().requires_grad_()
    weights = Sigmoid().weights(alpha, PRESENT, None)
    torch.testing.assert_close(weights.detach(), (1 / (1 + (-ALPHA).exp())) * PRESENT)
    (gradient,) = torch.autograd.grad(weights[0, 2], alpha)
    assert gradient.count_nonzero() == 1
    start = Sigmoid().weights(torch.zeros(2, 4), PRESENT, None)
    assert torch.equal(start, 0.5 * PRESENT)


@pytest.mark.parametrize('temperature', [0, -1.0, math.nan, math.inf, '1', True])
@pytest.mark.parametrize('kind', ['Softmax', 'GumbelStraightThrough'])
def test_temperatures_that_cannot_be(kind, temperature):
    with pytest.raises(ValueError, match=f'{kind}.temperature must be a positive number, got'):
        RELAXATIONS.build(dict(type=kind, temperature=temperature))


@pytest.mark.parametrize('kind', [GumbelStraightThrough, TwoPathGates])
@pytest.mark.parametrize('layer', [0, 1])
def test_a_weight_step_draws_one_by_the_softmax_of_alpha(kind, layer):
    relaxation = kind()
    assert relaxation.role == 'weights'
    weights = relaxation.weights(*many(relaxation, ALPHA[layer], PRESENT[layer]))
    assert torch.equal(weights.sort(1).values, torch.tensor([0.0, 0, 0, 1]).expand(DRAWS, 4))
    assert chi_square(weights.sum(0), DRAWS * PROBABILITY[layer]) < LIMIT
    torch.testing.assert_close(relaxation.mean(ALPHA, PRESENT), PROBABILITY)


@pytest.mark.parametrize('layer', [0, 1])
def test_uniform_draws_are_uniform_whatever_alpha_is(layer):
    relaxation = UniformSampling()
    weights = relaxation.weights(*many(relaxation, ALPHA[layer], PRESENT[layer]))
    expected = DRAWS * PRESENT[layer].double() / PRESENT[layer].sum()
    assert chi_square(weights.sum(0), expected) < LIMIT
    torch.testing.assert_close(
        relaxation.mean(ALPHA, PRESENT), PRESENT.double() / PRESENT.sum(1, keepdim=True)
    )


def test_straight_through_gradient_is_that_of_the_tempered_softmax():
    relaxation = GumbelStraightThrough(temperature=0.7)
    noise = noise_of(relaxation, 1)
    alpha = ALPHA.clone().requires_grad_()
    upstream = torch.randn(2, 4, dtype=torch.double)
    weights = relaxation.weights(alpha, PRESENT, noise)
    (gradient,) = torch.autograd.grad((weights * upstream).sum(), alpha)
    soft = ((ALPHA + noise) / 0.7).masked_fill(~PRESENT, -math.inf).softmax(1)
    centred = upstream - (soft * upstream).sum(1, keepdim=True)
    torch.testing.assert_close(gradient, soft * centred / 0.7)
    assert torch.equal(weights.detach() == 1, relaxation.paths(alpha, PRESENT, noise))


def test_an_alpha_step_compares_two_paths_drawn_without_replacement():
    relaxation = TwoPathGates()
    relaxation.role = 'alpha'
    given = many(relaxation, ALPHA[0], PRESENT[0])
    pairs, gates = relaxation.paths(*given), relaxation.weights(*given)
    assert torch.equal(pairs.sum(1), torch.full((DRAWS,), 2))
    assert torch.equal(gates.sum(1), torch.ones(DRAWS, dtype=torch.double))
    assert not (gates.bool() & ~pairs).any()
    p = PROBABILITY[0]
    for i in range(4):
        for j in range(i):
            here = pairs[:, i] & pairs[:, j]
            # One first, the other of what is left, or the other way round.
            expected = DRAWS * p[i] * p[j] * (1 / (1 - p[i]) + 1 / (1 - p[j])).item()
            assert abs(here.sum() - expected) < 4.5 * math.sqrt(expected)
            opened, share = gates[here, i].sum(), p[i] / (p[i] + p[j])
            spread = math.sqrt(here.sum() * share * (1 - share))
            assert abs(opened - here.sum() * share) < 4.5 * spread


def test_gate_gradient_is_the_paper_s_and_with_two_candidates_that_of_the_full_mixture():
    relaxation = TwoPathGates()
    relaxation.role = 'alpha'
    alpha = ALPHA.clone().requires_grad_()
    upstream = torch.randn(2, 4, dtype=torch.double)
    noise = noise_of(relaxation, 3)
    weights = relaxation.weights(alpha, PRESENT, noise)
    (gradient,) = torch.autograd.grad((weights * upstream).sum(), alpha)
    for layer, pair in enumerate(relaxation.paths(alpha, PRESENT, noise)):
        i, j = pair.nonzero().flatten().tolist()
        p = ALPHA[layer, [i, j]].softmax(0)
        slope = p[0] * p[1] * (upstream[layer, i] - upstream[layer, j])
        expected = torch.zeros(4, dtype=torch.double)
        expected[i], expected[j] = slope, -slope
        torch.testing.assert_close(gradient[layer], expected)
    two = torch.tensor([[True, False, True, False]] * 2)
    sampled = relaxation.weights(alpha, two, noise)
    mixed = alpha.masked_fill(~two, -math.inf).softmax(1)
    (ours,) = torch.autograd.grad((sampled * upstream).sum(), alpha)
    (full,) = torch.autograd.grad((mixed * upstream).sum(), alpha)
    torch.testing.assert_close(ours, full)


def test_a_layer_of_one_candidate_has_one_path():
    relaxation = TwoPathGates()
    relaxation.role = 'alpha'
    one = torch.tensor([[False, False, True, False]] * 2)
    noise = noise_of(relaxation, 5)
    assert torch.equal(relaxation.paths(ALPHA, one, noise), one)
    assert torch.equal(relaxation.weights(ALPHA, one, noise), one.double())


def test_candidates_that_were_not_drawn_keep_their_probability():
    relaxation = TwoPathGates()
    relaxation.role = 'alpha'
    paths = relaxation.paths(ALPHA, PRESENT, noise_of(relaxation, 9))
    moved = ALPHA + torch.randn(2, 4, dtype=torch.double)
    settled = moved.clone()
    relaxation.settle(settled, ALPHA, paths)
    after = settled.masked_fill(~PRESENT, -math.inf).softmax(1)
    torch.testing.assert_close(after[~paths], PROBABILITY[~paths])
    torch.testing.assert_close((after * paths).sum(1), (PROBABILITY * paths).sum(1))
    # The two moved as their optimizer wanted.
    for layer, pair in enumerate(paths):
        gap = settled[layer, pair].diff() - moved[layer, pair].diff()
        assert abs(gap.item()) < 1e-12


def test_others_leave_alpha_to_its_optimizer():
    moved = ALPHA + 1
    Softmax().settle(moved, ALPHA, PRESENT)
    assert torch.equal(moved, ALPHA + 1)
