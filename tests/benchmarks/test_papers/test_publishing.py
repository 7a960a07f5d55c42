# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Figure 4 as a page: layers, mixing weights, ties, and how often each operation is chosen."""

from benchmarks.papers.publishing import render_choices, render_layers
from nasiam_mm.architecture.genotype import Decision, Genotype

SPACE = ('linear_bn_relu', 'avg_pool_3_bn', 'identity')


def genotype(projector, predictor):
    """Choose, per layer, the operation whose alpha is 1."""
    decisions = {
        f'{head}.{n}.op': Decision(SPACE, (SPACE[scores.index(max(scores))],), tuple(scores))
        for head, layers in (('projector', projector), ('predictor', predictor))
        for n, scores in enumerate(layers)
    }
    return Genotype('SimSiam', decisions)


RELU, POOL, TIE = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]
FOUND = {
    0: genotype([RELU, POOL, POOL], [RELU, POOL]),
    4: genotype([RELU, TIE, POOL], [POOL, POOL]),
}


def cells(text, start):
    line = next(line for line in text.splitlines() if line.startswith(start))
    return [cell.strip() for cell in line.strip('|').split('|')]


def test_each_layer_is_told_with_its_mixing_weight():
    text = render_layers(FOUND)
    assert cells(text, '| seed') == ['seed', 'head', 'layer 0', 'layer 1', 'layer 2']
    # exp(1) / (exp(1) + 2) = 0.58.
    assert cells(text, '| 0 | projector') == [
        '0', 'projector', 'linear_bn_relu (0.58)', 'avg_pool_3_bn (0.58)', 'avg_pool_3_bn (0.58)',
    ]  # fmt: skip
    assert cells(text, '| 4 | predictor')[-1] == '-'


def test_a_choice_between_equals_is_told():
    text = render_layers(FOUND)
    assert cells(text, '| 4 | projector')[3] == 'linear_bn_relu (0.33), **tied**'
    assert 'others had the same alpha' in text
    assert 'tied' not in render_layers({0: FOUND[0]})


def test_choices_are_counted_over_layers_and_seeds():
    text = render_choices(FOUND)
    assert text.startswith('Over seeds 0, 4:')
    assert cells(text, '| chosen') == ['chosen', 'projector', 'predictor']
    assert cells(text, '| linear_bn_relu') == ['linear_bn_relu', '3 of 6', '1 of 4']
    assert cells(text, '| avg_pool_3_bn') == ['avg_pool_3_bn', '3 of 6', '3 of 4']
    # What is never chosen is told too.
    assert cells(text, '| identity') == ['identity', '0 of 6', '0 of 4']
