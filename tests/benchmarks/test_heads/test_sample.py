# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
from collections import Counter
from itertools import combinations

import pytest

from benchmarks import ROOT
from benchmarks.heads import sample
from benchmarks.heads.jobs import FRAMEWORKS, GATED, choices, drawn_heads, gate_heads
from benchmarks.heads.sample import balanced_heads
from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.study.heads import distributions, head_key


@pytest.fixture(params=FRAMEWORKS)
def framework(request):
    return request.param


def test_the_drawn_heads_differ_and_hold_every_option_equally_often(framework):
    heads = dict(drawn_heads(framework))
    standard = heads.pop('standard')
    assert len(heads) == 96
    keys = {head_key(head, choices(framework)) for head in heads.values()}
    assert len(keys) == 96
    assert head_key(standard, choices(framework)) not in keys
    for name, space in distributions(choices(framework)).items():
        counts = Counter(head[name] for head in heads.values())
        assert set(counts.values()) == {96 // len(space.choices)}, name


def test_pairs_of_options_meet_about_as_often_as_by_a_full_crossing(framework):
    heads = [head for name, head in drawn_heads(framework).items() if name != 'standard']
    space = {name: found.choices for name, found in distributions(choices(framework)).items()}
    off = []
    for one, two in combinations(space, 2):
        met = Counter((head[one], head[two]) for head in heads)
        expected = 96 / len(space[one]) / len(space[two])
        off += [(met[a, b] - expected) ** 2 / expected for a in space[one] for b in space[two]]
    # Chi-squared of a cell: nearly 1 by chance.
    assert sum(off) / len(off) < 0.3


def test_a_draw_is_a_function_of_its_seed(monkeypatch):
    monkeypatch.setattr(sample, '_SWAPS', 100)
    one, again, other = (balanced_heads(choices('simclr'), 24, seed) for seed in (1, 1, 2))
    assert one == again != other


def test_more_heads_than_the_space_has_are_refused():
    few = {'': [c for c in choices('simclr')[''] if c.name == 'temperature']}
    with pytest.raises(ValueError, match='does not have 5 heads that differ; draw fewer'):
        balanced_heads(few, 5, 0)


@pytest.mark.parametrize('framework', ['simclr', 'simsiam'])
def test_the_random_heads_of_the_gate_are_those_that_were_trained_at_32_pixels(framework):
    for name, genotype in gate_heads(framework).items():
        pattern = f'docs/results/heads_demo/runs/{framework}_*-{name}-seed0-*/genotype.json'
        for file in ROOT.glob(pattern):
            assert load_genotype(file).decisions == genotype.decisions, name
    assert [*gate_heads(framework)] == [*GATED]
