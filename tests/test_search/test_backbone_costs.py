# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Expected costs of backbones equal enumeration; a larger weight never raises the derived cost."""

import json
import runpy
from itertools import product

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from nasiam_mm.ops.shapes import MapShape
from nasiam_mm.registry import MODELS
from nasiam_mm.search.gradient.costs import ExpectedCost, candidate_costs, op_cost
from nasiam_mm.search.gradient.latency import latency_table
from nasiam_mm.search.gradient.regularizers import AlphaStep
from tests.backbones import simclr
from tests.reduced import ROOT

TWO_BLOCKS = dict(
    type='ChoiceMobileNet',
    blocks=(2,),
    channels=(8, 8),
    strides=(1,),
    img_size=8,
    space=['mbconv_3_e3', 'mbconv_5_e6', 'identity'],
)


def test_what_an_inverted_residual_costs():
    wide, shape = 8 * 3, MapShape(8, 16, 2, 10)
    weights = 8 * wide + 9 * wide + wide * 16
    assert op_cost('mbconv_3_e3', shape, 'parameters') == weights + 2 * (wide + wide + 16)
    assert op_cost('mbconv_3_e3', shape, 'macs') == (
        100 * 8 * wide + 25 * 9 * wide + 25 * wide * 16
    )


def cost_of(net, unit, size):
    """Cost of a whole network, counted on it."""
    if unit == 'parameters':
        return sum(p.numel() for p in net.parameters())
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net(torch.randn(2, 3, size, size))
    return counter.get_total_flops() / 4


@pytest.mark.parametrize('unit', ['parameters', 'macs'])
def test_the_expected_cost_is_the_mean_over_all_networks_of_two_blocks(unit):
    model = simclr(TWO_BLOCKS)
    owner, space = model.architecture, TWO_BLOCKS['space']
    p = owner.weights('backbone').detach().double()
    costs = {}
    for pair in product(range(3), repeat=2):
        genotype = {f'backbone.{n}.op': space[k] for n, k in enumerate(pair)}
        net = MODELS.build({**TWO_BLOCKS, 'space': None, 'genotype': genotype})
        costs[pair] = cost_of(net, unit, 8)
    fixed = costs[2, 2]  # two identities: what the stem costs alone
    expected = sum(p[0, i] * p[1, j] * (costs[i, j] - fixed) for i, j in costs)
    step = AlphaStep(model, owner, torch.zeros(()), (), 0.5)
    found = ExpectedCost(unit=unit).expected(step)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_cells_of_a_group_cost_together():
    model = simclr('cells')
    counts = candidate_costs(model, 'parameters')
    assert {group: tuple(table.shape) for group, table in counts.items()} == {
        'normal': (5, 9),
        'reduction': (5, 9),
    }
    cells = model.backbone.searched['normal']
    assert counts['normal'][0, 0] == sum(
        sum(p.numel() for p in cell.layers[0].ops['sep_conv_3'].parameters()) for cell in cells
    )


def test_a_larger_weight_never_raises_the_derived_cost():
    model = simclr(TWO_BLOCKS)
    owner, [alpha] = model.architecture, model.architecture.alphas()
    table = candidate_costs(model, 'macs')['backbone']
    # What the loss asks for, an alpha step's gradient: the dear operations, by different amounts.
    wanted = torch.tensor([[0.0, 1.0, -0.5], [0.3, 0.8, 0.0]])
    derived = []
    for weight in (0.0, 0.05, 0.2, 0.5, 1.0, 2.0, 8.0):
        alpha.zero_().requires_grad_(True)
        term = ExpectedCost(weight=weight, unit='macs')
        term.check(model)
        optimizer = torch.optim.SGD([alpha], lr=1.0)
        for _ in range(300):
            step = AlphaStep(model, owner, torch.zeros(()), (), 0.5)
            loss = -(owner.weights('backbone') * wanted).sum() + weight * term.value(step)
            [alpha.grad] = torch.autograd.grad(loss, [alpha])
            optimizer.step()
        alpha.requires_grad_(False)
        derived.append(table.gather(1, alpha.argmax(1, keepdim=True)).sum().item())
    assert derived == sorted(derived, reverse=True)
    assert derived[0] == table[:, 1].sum() and derived[-1] == 0


def test_a_table_of_measured_costs_takes_the_place_of_a_unit(tmp_path):
    model = simclr(TWO_BLOCKS)
    table = latency_table(model, batch=2, repeats=3)
    assert table['unit'] == 'milliseconds' and table['measured']['batch'] == 2
    rows = table['costs']
    assert list(rows) == ['backbone.0.op', 'backbone.1.op']
    for row in rows.values():
        assert list(row) == TWO_BLOCKS['space'] and row['identity'] < row['mbconv_5_e6']
    rows['backbone.1.op']['mbconv_3_e3'] = 7.5
    path = tmp_path / 'latency.json'
    path.write_text(json.dumps(table))
    step = AlphaStep(model, model.architecture, torch.zeros(()), (), 0.5)
    found = ExpectedCost(table=str(path)).expected(step)
    p = model.architecture.weights('backbone')
    known = torch.tensor([list(row.values()) for row in rows.values()])
    assert found.item() == pytest.approx((p * known).sum().item(), rel=1e-5)
    del rows['backbone.1.op']['identity']
    path.write_text(json.dumps(table))
    with pytest.raises(ValueError, match=r'has no cost of identity at backbone.1.op, got None'):
        ExpectedCost(table=str(path)).check(model)


def test_cells_of_a_group_take_their_time_together():
    table = latency_table(simclr('cells'), batch=2, repeats=1)
    assert len(table['costs']) == 10
    # Of the two skips each edge has the one that fits.
    assert 'factorized_reduce' not in table['costs']['normal.0.op']
    assert 'identity' not in table['costs']['reduction.0.op']


def test_the_tool_measures_the_space_of_a_recipe(tmp_path, capsys):
    tool = runpy.run_path(str(ROOT / 'tools/analysis_tools/op_latency.py'))
    recipe = 'backbones/simclr_mobilenet_proxyless_cifar10_demo.py'
    out = tmp_path / 'out.json'
    tool['main']([recipe, '--out', str(out), '--batch', '1', '--repeats', '1'])
    assert len(json.loads(out.read_text())['costs']) == 6
    assert '6 choices' in capsys.readouterr().out
