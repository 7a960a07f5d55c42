# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""From alpha to a genotype: the top one or two candidates of each layer, ties told."""

import itertools
import math

import pytest
import torch

from nasiam_mm.architecture.alpha import Architecture
from nasiam_mm.architecture.choice import op_choices
from nasiam_mm.architecture.genotype import GenotypeError, save_genotype
from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.ops.candidates import SPACES, LayerShape
from tests.small import top_k

S = SPACES['S']
RELU, MAX, AVG, IDENTITY = S
SAME = LayerShape(6, 6)
OUTPUT = LayerShape(6, 4, True)


def derive(alpha, shapes=(SAME,), space=S, k=1, **provenance):
    architecture = Architecture({'projector': op_choices('projector', space, shapes)})
    architecture.alpha('projector').copy_(torch.tensor(alpha))
    return top_k(architecture, 'SimSiam', k, provenance)


def decide(*args, **kwargs):
    return derive(*args, **kwargs).of('projector')


def test_top_operation_of_each_layer():
    genotype = derive([[0.1, 0.2, -1.0, 0.0], [3.0, 0.2, 0.1, 0.0]], (SAME, SAME), epoch=3)
    assert genotype.framework == 'SimSiam' and genotype.top_k == 1
    assert genotype.provenance == {'selection': 'top_k', 'top_k': 1, 'epoch': 3}
    assert list(genotype.decisions) == ['projector.0.op', 'projector.1.op']
    first, second = genotype.of('projector')
    assert (first.chosen, second.chosen) == ((MAX,), (RELU,))
    assert first.options == S and first.tied == ()
    assert first.scores == pytest.approx((0.1, 0.2, -1.0, 0.0))
    exponentials = [math.exp(a) for a in first.scores]
    assert list(first.weights.values()) == pytest.approx(
        [e / sum(exponentials) for e in exponentials]
    )


def test_top_two_in_order():
    (decision,) = decide([[0.1, 0.2, 0.9, 0.0]], k=2)
    assert decision.chosen == (AVG, MAX)
    assert derive([[0.1, 0.2, 0.9, 0.0]], k=2).provenance['top_k'] == 2


@pytest.mark.parametrize('alpha', [9.0, float('inf'), float('nan')])
@pytest.mark.parametrize('k', [1, 2])
def test_options_without_a_candidate_are_no_choice(alpha, k):
    # At this output linear_bn_relu and identity are one linear map, at position 0.
    (decision,) = decide([[0.2, 0.1, 0.0, alpha]], (OUTPUT,), k=k)
    assert decision.chosen == (RELU, MAX)[:k]
    assert decision.scores == (*decision.scores[:3], None)
    assert decision.scores[:3] == pytest.approx((0.2, 0.1, 0.0))
    assert list(decision.scored) == list(decision.weights) == [RELU, MAX, AVG]
    assert sum(decision.weights.values()) == pytest.approx(1)


def test_one_candidate_is_the_choice_of_two():
    (decision,) = decide([[0.2, 0.1]], (OUTPUT,), SPACES["S'"], k=2)
    assert decision.chosen == (RELU,) and decision.weights == {RELU: 1.0}
    assert decision.tied == ()


@pytest.mark.parametrize('order', list(itertools.permutations(range(4)))[::3])
@pytest.mark.parametrize('k', [1, 2])
def test_ties_are_reported_whatever_the_order_of_the_space(order, k):
    space = tuple(S[n] for n in order)
    value = {RELU: 0.5, MAX: 0.5, AVG: -0.5, IDENTITY: 0.5}
    (decision,) = decide([[value[op] for op in space]], space=space, k=k)
    best = [op for op in space if op != AVG]
    assert decision.chosen == tuple(best[:k])
    assert set(decision.chosen) | set(decision.tied) == {RELU, MAX, IDENTITY}
    assert len(decision.tied) == 3 - k


def test_a_tie_inside_the_choice_is_none():
    (decision,) = decide([[0.5, 0.5, 0.1, 0.1]], k=2)
    assert decision.chosen == (RELU, MAX) and decision.tied == ()
    (decision,) = decide([[0.9, 0.5, 0.1, 0.5]], k=2)
    assert decision.chosen == (RELU, MAX) and decision.tied == (IDENTITY,)


def test_uniform_alpha_ties_everything():
    (decision,) = decide([[0.0] * 4])
    assert decision.chosen == (RELU,) and decision.tied == (MAX, AVG, IDENTITY)
    (decision,) = decide([[0.0] * 4], (OUTPUT,))
    assert decision.tied == (MAX, AVG)


@pytest.mark.parametrize('value', [float('nan'), float('inf'), float('-inf')])
def test_alpha_must_be_finite(value):
    message = r'alpha of projector\.1\.op is not finite.*lower the alpha'
    with pytest.raises(GenotypeError, match=message):
        derive([[0.0] * 4, [0.0, value, 0.0, 0.0]], (SAME, SAME))


def test_alpha_is_left_as_it_was():
    architecture = Architecture({'projector': op_choices('projector', S, (SAME,))})
    alpha = architecture.alpha('projector').requires_grad_()
    top_k(architecture, 'SimSiam')
    assert alpha.requires_grad and not alpha.any()


@pytest.mark.parametrize('space', SPACES)
@pytest.mark.parametrize('k', [1, 2])
def test_the_reader_takes_what_is_derived(tmp_path, space, k):
    shapes = {'projector': (SAME, SAME), 'predictor': (SAME, OUTPUT)}
    architecture = Architecture({n: op_choices(n, SPACES[space], s) for n, s in shapes.items()})
    torch.manual_seed(2)
    for alpha in architecture.alphas():
        alpha.copy_(torch.randn(alpha.shape))
    decided_at = {name: [list(shape) for shape in rows] for name, rows in shapes.items()}
    genotype = top_k(architecture, 'BYOL', k, {'decided_at': decided_at})
    save_genotype(genotype, tmp_path / 'g.json')
    assert load_genotype(tmp_path / 'g.json') == genotype
