# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Selections by alpha: what is chosen, what is told, and that the reader takes it."""

import itertools
import json

import pytest
import torch

from nasiam_mm.architecture.alpha import Architecture
from nasiam_mm.architecture.choice import op_choices
from nasiam_mm.architecture.genotype import GenotypeError, save_genotype
from nasiam_mm.architecture.reading import load_genotype, read_genotype
from nasiam_mm.ops.candidates import SPACES, LayerShape
from nasiam_mm.search.selection import SELECTIONS, Threshold, TopK, genotype_of

S = SPACES['S']
RELU, MAX, AVG, IDENTITY = S
SAME, WIDER, OUTPUT = LayerShape(6, 6), LayerShape(6, 8), LayerShape(6, 4, True)


def an_architecture(alpha, shapes=None, space=S, relaxation='Sigmoid'):
    shapes = shapes or (SAME,) * len(alpha)
    choices = {'projector': op_choices('projector', space, shapes)}
    architecture = Architecture(choices, dict(type=relaxation))
    architecture.alpha('projector').copy_(torch.tensor(alpha))
    return architecture


def chosen(selection, *args, **kwargs):
    decisions = selection.decide(an_architecture(*args, **kwargs))
    return [decision.chosen for decision in decisions.values()]


def written(selection, architecture, path, **provenance):
    """Write what a selection decides, read it back, and return its text."""
    genotype = genotype_of(selection.decide(architecture), selection, 'SimCLR', provenance)
    save_genotype(genotype, path)
    assert load_genotype(path) == genotype
    return path.read_text()


# At these gates: .95, .88, .27, .5.
GATES = [3.0, 2.0, -1.0, 0.0]


def test_threshold_takes_what_passes_best_first():
    assert chosen(Threshold(0.85), [GATES]) == [(RELU, MAX)]
    assert chosen(Threshold(0.9), [GATES]) == [(RELU,)]
    assert chosen(Threshold(0.85, at_most=1), [GATES]) == [(RELU,)]
    assert chosen(Threshold(0.5, at_most=4), [[0.0, 2.0, 3.0, -0.1]]) == [(AVG, MAX, RELU)]
    assert chosen(Threshold(0.0, at_most=4), [GATES]) == [(RELU, MAX, IDENTITY, AVG)]


def test_threshold_is_reached_by_what_equals_it():
    assert chosen(Threshold(0.5, at_most=4), [[0.0] * 4]) == [S]
    assert chosen(Threshold(0.5), [[-1.0, 0.0, 0.0, 0.0]]) == [(MAX, AVG)]


def test_a_layer_where_nothing_passes_is_empty():
    assert chosen(Threshold(0.96), [GATES]) == [(IDENTITY,)]
    # Where an identity is no function of its own, the best.
    assert chosen(Threshold(0.96), [GATES], (OUTPUT,)) == [(RELU,)]
    assert chosen(Threshold(0.9), [[0.1, 0.3]], space=(RELU, MAX)) == [(MAX,)]


def test_threshold_passes_over_what_is_no_candidate():
    architecture = an_architecture([GATES])
    architecture.drop('projector', 0, [0])
    (decision,) = Threshold(0.85).decide(architecture).values()
    assert decision.chosen == (MAX,) and decision.scores[0] is None
    # An identity that was dropped cannot fill an empty layer.
    architecture.drop('projector', 0, [3])
    (decision,) = Threshold(0.96).decide(architecture).values()
    assert decision.chosen == (MAX,)


@pytest.mark.parametrize('seed', range(6))
def test_threshold_against_a_count_by_hand(seed, tmp_path):
    torch.manual_seed(seed)
    alpha, threshold, at_most = torch.randn(5, 4), 0.3 + 0.1 * seed, 1 + seed % 3
    shapes = (
        SAME,
        SAME,
        WIDER,
        SAME._replace(in_channels=8, out_channels=8),
        LayerShape(8, 4, True),
    )
    architecture = an_architecture(alpha.tolist(), shapes)
    selection = Threshold(threshold, at_most)
    for choice, row in zip(architecture.choices['projector'], alpha.tolist(), strict=True):
        gates = {
            option: 1 / (1 + 2.718281828459045**-a)
            for option, a, here in zip(S, row, choice.present, strict=True)
            if here
        }
        passing = sorted((o for o in gates if gates[o] >= threshold), key=lambda o: -gates[o])
        empty = IDENTITY if IDENTITY in gates else max(gates, key=gates.get)
        expected = tuple(passing[:at_most]) or (empty,)
        assert selection.decide(architecture)[choice.name].chosen == expected
    decided_at = {'projector': [list(shape) for shape in shapes]}
    written(selection, architecture, tmp_path / 'g.json', decided_at=decided_at)


def test_top_k_leaves_few_identities():
    # Identity leads by weight in three layers: most in the first, least in the third.
    alpha = [[0, 1, 0, 5.0], [0, 0, 1, 4.0], [2, 0, 0, 3.0], [1, 0, 0, 0.0]]
    for limit, expected in [
        (None, [IDENTITY, IDENTITY, IDENTITY, RELU]),
        (3, [IDENTITY, IDENTITY, IDENTITY, RELU]),
        (2, [IDENTITY, IDENTITY, RELU, RELU]),
        (1, [IDENTITY, AVG, RELU, RELU]),
        (0, [MAX, AVG, RELU, RELU]),
    ]:
        for relaxation in ('Softmax', 'Sigmoid', 'GumbelStraightThrough'):
            found = chosen(TopK(max_identity=limit), alpha, relaxation=relaxation)
            assert found == [(op,) for op in expected], (limit, relaxation)


def test_top_two_leave_few_identities_too():
    alpha = [[0, 1, 0, 5.0], [2, 0, 0, 3.0]]
    assert chosen(TopK(2, max_identity=1), alpha) == [(IDENTITY, MAX), (RELU, MAX)]
    alpha = [[0.0, 1.0]]
    assert chosen(TopK(2, max_identity=0), alpha, space=(RELU, IDENTITY)) == [(RELU,)]


def test_an_identity_that_is_all_there_is_counts_for_nothing():
    architecture = an_architecture([[0, 0, 0, 5.0], [0, 0, 0, 4.0]])
    architecture.drop('projector', 1, [0, 1, 2])
    decisions = TopK(max_identity=1).decide(architecture)
    assert [decision.chosen for decision in decisions.values()] == [(IDENTITY,)] * 2


def test_identities_are_counted_by_head():
    rows = {head: op_choices(head, S, (SAME, SAME)) for head in ('projector', 'predictor')}
    architecture = Architecture(rows)
    for alpha in architecture.alphas():
        alpha[:, 3] = torch.tensor([2.0, 1.0])
    decisions = TopK(max_identity=1).decide(architecture)
    assert [d.chosen[0] for d in decisions.values()] == [IDENTITY, RELU] * 2


@pytest.mark.parametrize(('k', 'limit'), list(itertools.product([1, 2], [None, 0, 1, 3])))
def test_the_reader_takes_what_top_k_leaves(k, limit, tmp_path):
    torch.manual_seed(k)
    for number in range(5):
        alpha = torch.randn(4, 4)
        alpha[:, 3] += 1.0
        for space in (S, (RELU, IDENTITY)):
            rows = alpha[:, :2] if len(space) == 2 else alpha
            architecture = an_architecture(rows.tolist(), space=space, relaxation='Softmax')
            selection = TopK(k, limit)
            written(selection, architecture, tmp_path / f'{number}.json')
            begin = [d.chosen[0] for d in selection.decide(architecture).values()]
            assert limit is None or begin.count(IDENTITY) <= limit


def test_the_reader_refuses_what_a_selection_cannot_have_chosen(tmp_path):
    def edited(selection, alpha, layer=0, **changes):
        text = written(selection, an_architecture(alpha), tmp_path / 'g.json')
        data = json.loads(text)
        decision = data['decisions'][f'projector.{layer}.op']
        decision.update({key: value for key, value in changes.items() if key == 'chosen'})
        data['provenance'].update({k: v for k, v in changes.items() if k != 'chosen'})
        with pytest.raises(GenotypeError) as refused:
            read_genotype(json.dumps(data))
        assert '\n' not in str(refused.value)
        return str(refused.value)

    told = edited(Threshold(0.85), [GATES], chosen=[MAX])
    assert "['max_pool_3_bn'] is not the top of the scores, 'linear_bn_relu' is higher" in told
    assert 'has 2 options, but provenance.at_most: 1' in edited(Threshold(0.85), [GATES], at_most=1)
    assert 'at_most: must be an integer' in edited(Threshold(0.85), [GATES], at_most='2')
    alpha = [[0, 1, 0, 5.0], [0, 0, 1, 4.0]]
    told = edited(TopK(max_identity=1), alpha, 1, chosen=[IDENTITY])
    assert 'has 2 layers that are an identity, but provenance.max_identity: 1' in told
    told = edited(TopK(max_identity=1), alpha, 1, chosen=[MAX])
    assert "'avg_pool_3_bn' is higher" in told
    assert 'max_identity: must be an integer' in edited(
        TopK(max_identity=1), alpha, max_identity='1'
    )


@pytest.mark.parametrize(
    ('config', 'told'),
    [
        (dict(type='TopK', k=3), r'TopK\.k must be 1 or 2, got 3'),
        (dict(type='TopK', k=True), r'TopK\.k must be 1 or 2, got True'),
        (
            dict(type='TopK', max_identity=-1),
            r'TopK\.max_identity must be None or from 0 up, got -1',
        ),
        (dict(type='Threshold', threshold=1.1), r'Threshold\.threshold must be from 0 to 1'),
        (dict(type='Threshold', threshold='.5'), r'Threshold\.threshold must be a number'),
        (dict(type='Threshold', threshold=True), r'Threshold\.threshold must be a number'),
        (dict(type='Threshold', at_most=0), r'at_most a positive integer; got 0.85 and 0'),
        (dict(type='Perturbation', tune_steps=-1), r'tune_steps must be an integer from 0 up'),
        (dict(type='Perturbation', lr=0), r'Perturbation\.lr must be None or a positive number'),
        (dict(type='Perturbation', seed=-1), r'Perturbation\.seed must be None or an integer'),
        (dict(type='BestOfSampled', n=0), r'BestOfSampled\.n must be a positive integer, got 0'),
        (dict(type='BestOfSampled', by='alpha'), r"by must be 'uniform' or 'weights', got 'alpha'"),
        (dict(type='BestOfSampled', refit_batches=0), r'refit_batches must be a positive integer'),
        (dict(type='BestOfSampled', seed=1.5), r'BestOfSampled\.seed must be None or an integer'),
        (dict(type='BestOfSampled', seed=2**70), r'BestOfSampled\.seed must be None or an int'),
        (dict(type='Perturbation', seed=2**64), r'Perturbation\.seed must be None or an integer'),
    ],
)
def test_settings_that_cannot_be_are_refused_in_one_line(config, told):
    with pytest.raises(ValueError, match=told) as refused:
        SELECTIONS.build(config)
    assert '\n' not in str(refused.value)


def test_what_is_called_identity_where_the_width_changes_is_a_linear_map(tmp_path):
    shapes = LayerShape(6, 8), LayerShape(8, 8), LayerShape(8, 8)
    alpha = [[0, 0, 0, 2.0], [0, 1, 0, 5.0], [0, 0, 1, 4.0]]
    architecture = an_architecture(alpha, shapes, relaxation='Softmax')
    # It counts for no skip, and is not what an empty layer is.
    for limit, expected in (1, [IDENTITY, IDENTITY, AVG]), (0, [IDENTITY, MAX, AVG]):
        found = TopK(max_identity=limit).decide(architecture)
        assert [decision.chosen for decision in found.values()] == [(op,) for op in expected]
    found = chosen(Threshold(0.99), [[0, 1, 0, 0.5], [0, 1, 0, 0.5]], shapes[:2])
    assert found == [(MAX,), (IDENTITY,)]
    widths = dict(decided_at={'projector': [list(shape) for shape in shapes]})
    for selection in TopK(max_identity=1), TopK(2, max_identity=0), Threshold(0.999):
        written(selection, architecture, tmp_path / 'g.json', **widths)
    # Of what passes on its input there are still no more than were allowed.
    text = written(TopK(max_identity=2), architecture, tmp_path / 'g.json', **widths)
    data = json.loads(text)
    data['provenance']['max_identity'] = 1
    with pytest.raises(GenotypeError, match='has 2 layers that are an identity'):
        read_genotype(json.dumps(data))
