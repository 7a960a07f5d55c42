# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims: what a candidate costs is counted; what is expected is the mean over all heads."""

import math
from itertools import product

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from nasiam_mm.architecture.genotype import Decision
from nasiam_mm.models.choice import FixedCell
from nasiam_mm.ops.candidates import LayerShape
from nasiam_mm.search.gradient.costs import ExpectedCost, candidate_costs, op_cost
from tests.small import SPACE, build
from tests.test_search.alpha_steps import (
    finite_differences,
    gradient_of,
    model_of,
    owner_of_alpha,
    step_of,
)

TWO = dict(shapes=(LayerShape(6, 6), LayerShape(6, 4)))


@pytest.mark.parametrize(
    ('name', 'shape', 'parameters', 'macs'),
    [
        ('linear_bn_relu', LayerShape(6, 4), 6 * 4 + 2 * 4, 6 * 4),
        ('linear_bn_relu', LayerShape(6, 4, True), 6 * 4 + 4, 6 * 4),
        ('max_pool_3_bn', LayerShape(6, 6), 2 * 6, 0),
        ('avg_pool_3_bn', LayerShape(6, 4, True), 6 * 4 + 4, 6 * 4),
        ('identity', LayerShape(6, 6), 0, 0),
        ('identity', LayerShape(6, 4), 6 * 4 + 4, 6 * 4),
    ],
)
def test_what_an_operation_costs(name, shape, parameters, macs):
    assert op_cost(name, shape, 'parameters') == parameters
    assert op_cost(name, shape, 'macs') == macs


def costs_of_a_head(options):
    """Parameters and MACs of a head that was derived, (a tuple of options a layer), as it is."""
    cell = FixedCell(TWO['shapes'], [Decision(tuple(SPACE), chosen) for chosen in options])
    with FlopCounterMode(display=False) as counter:
        cell(torch.randn(2, 6))
    parameters = sum(p.numel() for p in cell.parameters())
    return torch.tensor([parameters, counter.get_total_flops() / 4], dtype=torch.double)


@pytest.mark.parametrize('drops', [False, True])
def test_the_expected_cost_is_the_mean_over_all_heads(drops):
    owner = owner_of_alpha(**TWO)
    if drops:
        owner.drop('projector', 0, [0])
    p = owner.weights('projector').detach()
    expected = torch.zeros(2, dtype=torch.double)
    for i, j in product(range(4), range(4)):
        if p[0, i] * p[1, j]:
            expected += p[0, i] * p[1, j] * costs_of_a_head([(SPACE[i],), (SPACE[j],)])
    step = step_of(owner, **TWO)
    found = [ExpectedCost(unit=unit).expected(step).item() for unit in ('parameters', 'macs')]
    assert found == pytest.approx(expected.tolist(), rel=1e-12)


def test_of_gates_each_is_kept_by_itself():
    space = ['linear_bn_relu', 'max_pool_3_bn']
    owner = owner_of_alpha('Sigmoid', space=space, **TWO)
    gates = owner.weights('projector').detach()
    costs = dict.fromkeys(product((0, 1), repeat=4), 0.0)
    for bits in costs:
        kept = [(n, k) for n, k in product(range(2), range(2)) if bits[2 * n + k]]
        costs[bits] = sum(op_cost(space[k], TWO['shapes'][n], 'parameters') for n, k in kept)
    likely = {
        bits: math.prod(float(g) if b else 1 - float(g) for b, g in
                        zip(bits, gates.flatten(), strict=True))
        for bits in costs
    }  # fmt: skip
    assert sum(likely.values()) == pytest.approx(1)
    expected = sum(likely[bits] * cost for bits, cost in costs.items())
    step = step_of(owner, space=space, **TWO)
    assert ExpectedCost().expected(step).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize('ref', [None, 50.0])
def test_gradient_of_the_sum(ref):
    owner = owner_of_alpha(**TWO)
    step, term = step_of(owner, **TWO), ExpectedCost(ref=ref)
    value, gradient = gradient_of(term, step)
    costs = candidate_costs(model_of(owner, **TWO), 'parameters')['projector']
    p, at_start = owner.weights('projector').detach(), costs.sum(1) / 4
    ref = ref or float(at_start.sum())
    each = (p * costs).sum(1, keepdim=True)
    assert value.item() == pytest.approx((float(each.sum()) - ref) / ref, rel=1e-12)
    assert torch.allclose(gradient, p * (costs - each) / ref, rtol=1e-12)
    assert torch.allclose(gradient, finite_differences(term, step), atol=1e-8)


def test_the_product_is_that_of_proxylessnas():
    owner = owner_of_alpha(**TWO)
    alpha = owner.alpha('projector')
    batch_loss = (alpha * torch.arange(8.0).reshape(2, 4)).sum().square() + 3
    to_loss = torch.autograd.grad(batch_loss, alpha, retain_graph=True)[0]
    step, term = step_of(owner, batch_loss, **TWO), ExpectedCost(form='multiply', ref=70.0)
    assert term.weight == 1
    value = term.value(step)
    gradient = torch.autograd.grad(value, alpha)[0]
    factor = 0.2 * (term.expected(step).log() / math.log(70)) ** 0.3
    whole = batch_loss * factor
    assert (value + batch_loss).item() == pytest.approx(whole.item(), rel=1e-12)
    # dL alpha r^beta + L alpha beta r^(beta - 1) dE / (E log ref), and less dL itself.
    cost = term.expected(step)
    to_cost = torch.autograd.grad(cost, alpha)[0]
    rate = 0.2 * 0.3 * (cost.log() / math.log(70)) ** -0.7 / (cost * math.log(70))
    expected = to_loss * (factor - 1) + batch_loss * rate * to_cost
    assert torch.allclose(gradient, expected.detach(), rtol=1e-10)


def test_a_product_with_next_to_no_cost_stays_finite():
    owner = owner_of_alpha(**TWO)
    owner.drop('projector', 0, [0, 1, 2])
    owner.drop('projector', 1, [0, 1, 2])
    loss = owner.alpha('projector').sum()
    step = step_of(owner, loss, **TWO)
    term = ExpectedCost(form='multiply')
    term.check(step.model)
    term._costs = {'projector': torch.zeros(2, 4, dtype=torch.double)}
    value, gradient = gradient_of(term, step)
    assert value.isfinite() and gradient.isfinite().all()


def test_a_search_on_a_share_of_the_channels_counts_the_whole_head():
    model, partly = build('simsiam'), build('simsiam', mixing=dict(type='PartialChannels'))
    whole, part = (candidate_costs(each, 'parameters') for each in (model, partly))
    cells = [each.searched_heads()['projector'].cell for each in (model, partly)]
    width = cells[0].shapes[0].out_channels
    assert [len(cell.layers[0].ops['linear_bn_relu'][0].weight) for cell in cells] == [
        width,
        width // 4,
    ]
    assert whole.keys() == part.keys() == {'projector', 'predictor'}
    assert all(torch.equal(whole[head], part[head]) for head in whole)
    assert whole['projector'][0, 0] == width * width + 2 * width


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(unit='seconds'), 'ExpectedCost.unit must be one of parameters, macs'),
        (dict(form='max'), 'ExpectedCost.form must be one of add, multiply'),
        (dict(ref=0), 'ExpectedCost.ref must be a positive number, got 0'),
        (dict(power=True), 'ExpectedCost.power must be a positive number'),
        (dict(weight=-1), 'ExpectedCost.weight must be a number from 0 up'),
    ],
)
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(ValueError, match=message):
        ExpectedCost(**settings)


def test_a_space_without_cost_is_refused():
    shapes, space = (LayerShape(6, 6),), ['max_pool_3_bn', 'identity']
    owner = owner_of_alpha(shapes=shapes, space=space)
    with pytest.raises(ValueError, match='ref is 0 macs, it must be above 0; give another'):
        ExpectedCost(unit='macs').check(model_of(owner, shapes=shapes, space=space))


def test_a_product_with_a_loss_below_0_would_reward_costs():
    term, lifted = ExpectedCost(form='multiply'), build('simsiam')
    with pytest.raises(ValueError, match='loss of SimSiam falls below 0.*form=.add.'):
        term.check(lifted)
    ExpectedCost().check(lifted)
    for framework in ('simclr', 'mocov2'):
        term.check(build(framework))
    lifted.head.loss_module.shift_factor = 1.0
    term.check(lifted)
