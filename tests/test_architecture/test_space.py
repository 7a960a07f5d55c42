# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Spaces as configs write them.

1. A list is operations at every layer, as ever; a dict is kinds of choices, by head or for all.
2. What does not fit is refused in one line that names the place and the mend.
3. Draws are uniform over each choice, seeded, and hold nothing that decides nothing.
4. A space for a search by gradient leaves the operations open alone.
5. A kind of choice is one entry.
"""

import math
from collections import Counter
from dataclasses import replace

import pytest
import torch
from torch import nn

from nasiam_mm.architecture.choice import Choice, op_choices
from nasiam_mm.architecture.genotype import (
    Genotype,
    GenotypeError,
    choices_of,
    random_genotype,
    save_genotype,
)
from nasiam_mm.architecture.kinds.kind import KINDS, Kind, positive, register_kind
from nasiam_mm.architecture.points import check_within, genotype_at
from nasiam_mm.architecture.reading import load_genotype, read_genotype
from nasiam_mm.architecture.space import choices_of_space, read_space, split_for_gradient
from nasiam_mm.models.heads import HeadMLP
from nasiam_mm.ops.candidates import SPACES, layer_shapes

S = SPACES['S']
HEADS = {'projector': None, 'predictor': None}
SPACE = dict(
    projector=dict(depth=[1, 2, 3], width_ratio=[0.5, 1], hidden_norm=['none', 'bn']),
    predictor=dict(form=['none', 'linear', 'mlp'], width_ratio=[1, 4]),
    predictor_lr=[1, 10],
)


def names(choices):
    return [choice.name for rows in choices.values() for choice in rows]


def test_a_list_is_operations_at_every_layer():
    shapes = {'projector': layer_shapes(6, [6, 4]), 'predictor': layer_shapes(4, [2, 4], True)}
    expected = {head: op_choices(head, S, rows) for head, rows in shapes.items()}
    assert choices_of_space(list(S), shapes) == expected
    assert choices_of_space(dict(op=list(S)), shapes) == expected
    assert choices_of_space(dict(predictor=list(S), op=list(S)), shapes) == expected


def test_a_kind_at_the_top_is_of_every_head_that_has_it():
    space = dict(depth=[1, 2], output_norm=['none'], predictor=dict(depth=[2]), form=['mlp'])
    assert read_space(space, HEADS).heads == {
        'projector': {'depth': (1, 2), 'output_norm': ('none',)},
        'predictor': {'depth': (2,), 'form': ('mlp',)},
    }


def test_choices_by_name():
    choices = choices_of_space(SPACE, HEADS)
    assert names(choices) == [
        'projector.depth', 'projector.width_ratio', 'projector.hidden_norm',
        'predictor.form', 'predictor.width_ratio', 'predictor_lr',
    ]  # fmt: skip
    assert choices[''] == (Choice('predictor_lr', (1, 10), (True, True)),)


def test_operations_of_the_hidden_layers_of_the_deepest():
    choices = choices_of_space(dict(op=list(S), depth=[1, 3]), {'projector': None})
    assert names(choices) == ['projector.depth', 'projector.0.op', 'projector.1.op']
    shapes = {'projector': layer_shapes(4, [4] * 3)}
    choices = choices_of_space(dict(op=list(S), width_ratio=[1, 2]), shapes)
    assert names(choices)[1:] == [f'projector.{n}.op' for n in range(3)]


@pytest.mark.parametrize(
    ('space', 'message'),
    [
        (dict(dept=[1]), 'space.dept: is neither a head nor a choice; did you mean depth?'),
        (dict(neck=dict(depth=[1])), 'space.neck: is neither a head nor a choice'),
        (dict(projector=dict(dept=[1])), 'space.projector.dept: is no choice of the projector; '
                                         'did you mean depth?'),
        (dict(projector=dict(form=['mlp'])), 'space.projector.form: is no choice of the projector'),
        (dict(projector=dict(temperature=[1])), 'space.projector.temperature: is no choice of the'),
        (dict(projector=3), 'space.projector: must be a dict of choices, as dict(depth=[1, 2])'),
        (dict(depth=2), 'space.depth: must be a list of options, got 2'),
        (dict(depth=[]), 'space.depth: must be a list of options, got []'),
        (dict(depth=[2, 2]), 'space.depth: names 2 twice'),
        (dict(depth=['2']), "space.depth: must be a whole number from 1 to 32, got '2'"),
        (dict(temperature=[0.0]), 'space.temperature: must be a number above 0, at most 100'),
        (dict(op=['conv']), "space.op: unknown candidate operation 'conv'"),
        (dict(op='identity'), 'space.op: a space is a list of registered operation names'),
        (dict(depth=[1], width_ratio=[1, 2]), 'space.projector.width_ratio: decides nothing: '
                                              'projector.depth is 1; take one of them away'),
        (dict(op=list(S), depth=[2, 3], activation=['relu']),
         'space.projector.activation: decides nothing: operations are decided at all hidden'),
        (dict(predictor=dict(form=['linear'], depth=[2])), 'space.predictor.depth: decides nothi'),
        (dict(predictor=dict(form=['none']), predictor_lr=[1, 2]),
         "space.predictor_lr: decides nothing: predictor.form is 'none'"),
        ([], 'a space is a list of registered operation names'),
        ('S', 'a space is a list of registered operation names'),
        ({3: [1]}, 'space.3: is neither a head nor a choice'),
    ],
)  # fmt: skip
def test_what_is_no_space(space, message):
    with pytest.raises(ValueError) as caught:
        read_space(space, HEADS)
    assert str(caught.value).startswith(message) and '\n' not in str(caught.value)


@pytest.mark.parametrize('space', [dict(predictor=dict(form=['none'])), dict(form=['mlp'])])
def test_a_predictor_where_there_is_none(space):
    with pytest.raises(ValueError, match=r'the model has no such head|no head of the model has'):
        read_space(space, ['projector'])


def test_what_leaves_a_head_open_is_refused():
    with pytest.raises(ValueError, match='nothing is decided of the predictor; decide its depth'):
        choices_of_space(dict(projector=dict(depth=[1, 2])), HEADS)
    with pytest.raises(ValueError, match=r'space.projector.op: nobody says how many layers'):
        choices_of_space(dict(op=list(S)), {'projector': None})


def test_draws_are_uniform_over_each_choice_and_seeded():
    choices = choices_of_space(SPACE, HEADS)
    drawn = [random_genotype('SimSiam', choices, seed) for seed in range(900)]
    assert drawn[5] == random_genotype('SimSiam', choices, 5) and drawn[5] != drawn[6]
    counts = {name: Counter() for name in names(choices)}
    for genotype in drawn:
        for name, decision in genotype.decisions.items():
            counts[name][decision.chosen[0]] += 1
    for head in choices.values():
        for choice in head:
            found, total = counts[choice.name], counts[choice.name].total()
            share = 1 / len(choice.options)
            assert set(found) == set(choice.options)
            bound = 4 * math.sqrt(total * share * (1 - share))
            assert all(abs(count - total * share) < bound for count in found.values())
    # Two thirds of the projectors have hidden layers, a third of the predictors is an MLP.
    assert abs(counts['projector.width_ratio'].total() - 600) < 4 * math.sqrt(200)
    assert abs(counts['predictor.width_ratio'].total() - 300) < 4 * math.sqrt(200)
    assert counts['predictor.form'].total() == counts['projector.depth'].total() == 900


def test_what_is_drawn_holds_no_layer_beyond_its_depth_and_can_be_read(tmp_path):
    space = dict(op=list(S), depth=[1, 2, 3, 4], width_ratio=[1, 2])
    choices, depths = choices_of_space(space, {'projector': None}), set()
    for seed in range(30):
        genotype = random_genotype('SimCLR', choices, seed)
        depth = genotype.settings('projector')['depth']
        depths.add(depth)
        assert len(genotype.of('projector')) == depth - 1
        assert ('width_ratio' in genotype.settings('projector')) == (depth > 1)
        save_genotype(genotype, tmp_path / 'g.json')
        assert load_genotype(tmp_path / 'g.json') == genotype
        check_within(genotype, choices)
    assert depths == {1, 2, 3, 4}


def test_genotype_by_name_and_option():
    choices = choices_of_space(SPACE, HEADS)
    options = {
        'projector.depth': 2, 'projector.width_ratio': 0.5, 'projector.hidden_norm': 'bn',
        'predictor.form': 'none', 'predictor.width_ratio': 4, 'predictor_lr': 10,
    }  # fmt: skip
    genotype = genotype_at('SimSiam', choices, options, {'seed': 1})
    # Neither a width nor a rate of a predictor that there is not.
    assert list(genotype.decisions) == list(options)[:4]
    assert genotype.decisions['projector.width_ratio'].options == (0.5, 1)
    check_within(genotype, choices)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'temperature': 0.1}, "'temperature' is no choice of the space"),
        ({'projector.depth': 4}, r'takes 4 at projector.depth; the space has \[1, 2, 3\]'),
        ({'projector.depth': None}, 'leaves projector.depth open, which the space decides'),
        ({'predictor_lr': None}, 'leaves predictor_lr open'),
    ],
)
def test_what_is_no_point_of_the_space(change, message):
    options = {
        'projector.depth': 2, 'projector.width_ratio': 1, 'projector.hidden_norm': 'bn',
        'predictor.form': 'mlp', 'predictor.width_ratio': 4, 'predictor_lr': 10, **change,
    }  # fmt: skip
    options = {name: option for name, option in options.items() if option is not None}
    with pytest.raises(GenotypeError, match=message):
        genotype_at('SimSiam', choices_of_space(SPACE, HEADS), options)


def test_a_genotype_of_another_space():
    inner, outer = (choices_of_space(dict(depth=d), {'projector': None}) for d in ([2], [1, 2]))
    check_within(genotype_at('X', inner, {'projector.depth': 2}), outer)
    with pytest.raises(GenotypeError, match='takes 1 at projector.depth'):
        check_within(genotype_at('X', outer, {'projector.depth': 1}), inner)
    with pytest.raises(GenotypeError, match='decides projector.depth, which the space does not'):
        check_within(genotype_at('X', outer, {'projector.depth': 1}), {'projector': ()})


def test_what_alpha_mixes_and_what_is_fixed():
    assert split_for_gradient('projector', dict(op=S, depth=(3,), width_ratio=(2,))) == (
        S,
        {'depth': 3, 'width_ratio': 2},
    )
    assert split_for_gradient('', dict(temperature=(0.1,))) == (None, {'temperature': 0.1})


@pytest.mark.parametrize(
    ('name', 'kind', 'options', 'message'),
    [
        ('projector', 'depth', (1, 2), 'space.projector.depth: has 2 options, which no mixing by'),
        ('predictor', 'form', ('none', 'mlp'), r'let a study decide .*, or train a genotype by '),
        ('projector', 'hidden_norm', ('bn', 'ln'), 'by --genotype, or write it into operations$'),
        ('', 'temperature', (0.1, 0.2), 'space.temperature: has 2 options'),
    ],
)
def test_what_no_gradient_decides(name, kind, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        split_for_gradient(name, {'op': S, kind: options})
    assert '\n' not in str(caught.value)


@pytest.fixture
def noise():
    """A kind of choice: an entry and no more."""

    def behind_hidden(plan, rate):
        behind = (*plan.behind_hidden, lambda width: nn.Dropout(rate))
        return replace(plan, behind_hidden=behind)

    yield register_kind(Kind('noise', 'head', positive(0.9), behind_hidden))
    KINDS.pop('noise')


def test_a_kind_is_one_entry(noise, tmp_path):
    choices = choices_of_space(dict(depth=[3], noise=[0.1, 0.5]), {'projector': None})
    genotype = random_genotype('SimCLR', choices, 1)
    save_genotype(genotype, tmp_path / 'g.json')
    rate = genotype.settings('projector')['noise']
    head = HeadMLP('projector', 8, 8, genotype=tmp_path / 'g.json')
    rates = [m.p for m in head.modules() if isinstance(m, nn.Dropout)]
    assert rates == [rate, rate] and rate in (0.1, 0.5)
    assert head((torch.randn(4, 8, 2, 2),))[0].shape == (4, 8)


def test_without_its_entry_the_kind_is_unknown(tmp_path):
    text = '{"schema_version": 2, "framework": "X", "decisions": {"projector.noise": '
    with pytest.raises(GenotypeError, match=r"'projector.noise' is no name of a choice"):
        read_genotype(text + '{"options": [0.1], "chosen": [0.1]}}}')


@pytest.mark.parametrize('kind', [dict(name='a b'), dict(level='image'), dict(name='depth')])
def test_what_is_no_new_kind(kind):
    before = dict(KINDS)
    with pytest.raises(ValueError, match='a kind of choice'):
        register_kind(replace(Kind('new', 'head', positive(1), lambda p, o: p), **kind))
    assert before == KINDS


def test_a_genotype_of_choices_does_not_tell_its_space():
    genotype = random_genotype('SimSiam', choices_of_space(SPACE, HEADS), 0)
    with pytest.raises(GenotypeError, match='decides projector.depth, so it does not tell its wh'):
        choices_of(Genotype('SimSiam', genotype.decisions))
