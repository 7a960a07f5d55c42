# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Heads by their options: equal ones have one key, whatever decides nothing in them."""

import itertools

import pytest

from nasiam_mm.architecture.genotype import Decision, Genotype, GenotypeError
from nasiam_mm.architecture.points import genotype_at
from nasiam_mm.architecture.space import choices_of_space
from nasiam_mm.study.heads import distributions, head_key, random_options, taken, told_head
from tests.test_study.played import SPACE

CHOICES = choices_of_space(SPACE, {'projector': None})


def test_what_counts_makes_the_key():
    names = [choice.name for layers in CHOICES.values() for choice in layers]
    grid = itertools.product(*(d.choices for d in distributions(CHOICES).values()))
    heads = [dict(zip(names, options, strict=True)) for options in grid]
    keys = {head_key(options, CHOICES) for options in heads}
    # One layer has nothing hidden that could be normalised: 3 x 3 temperatures are 3 heads.
    assert len(heads) == 36 and len(keys) == 3 * 3 * 3 + 3
    shallow = [o for o in heads if o['projector.depth'] == 1 and o['temperature'] == 0.1]
    assert len({head_key(options, CHOICES) for options in shallow}) == 1
    assert len({told_head(options, CHOICES) for options in heads}) == len(keys)


def test_a_genotype_goes_into_a_study_and_back():
    for seed in range(20):
        options = random_options(CHOICES, seed)
        genotype = genotype_at('SimCLR', CHOICES, options)
        again = taken(genotype, CHOICES)
        assert again.keys() == options.keys()
        assert head_key(again, CHOICES) == head_key(options, CHOICES)


def test_two_operations_at_a_layer_are_no_head_of_a_study():
    ops = ('linear', 'identity')
    choices = choices_of_space(dict(projector=dict(op=ops, depth=[2])), {'projector': None})
    two = {'projector.0.op': Decision(ops, ops), 'projector.depth': Decision((2,), (2,))}
    with pytest.raises(GenotypeError, match='takes several operations at projector.0.op'):
        taken(Genotype('SimCLR', two), choices)


def test_it_is_told_in_a_line():
    options = {'projector.depth': 2, 'projector.hidden_norm': 'bn', 'temperature': 0.1}
    assert told_head(options, CHOICES) == 'projector: depth=2 hidden_norm=bn; temperature=0.1'
