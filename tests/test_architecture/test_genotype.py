# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Genotypes as data: what is derived, random ones, and files written whole."""

import errno
import json
import math
import os
import random
from collections import Counter

import pytest
import torch

from nasiam_mm.architecture.choice import op_choices
from nasiam_mm.architecture.genotype import (
    Decision,
    Genotype,
    choices_of,
    random_genotype,
    save_genotype,
)
from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.ops.candidates import SPACES, LayerShape, layer_shapes

S = SPACES['S']
RELU, MAX, AVG, IDENTITY = S
OUTPUT = LayerShape(6, 4, True)
SHAPES = {
    'projector': layer_shapes(6, [6, 6]),
    'predictor': layer_shapes(8, [4, 4, 8], plain_output=True),
}


def shape_rows(shapes):
    """Widths as ``provenance['decided_at']`` holds them."""
    return {head: [list(shape) for shape in rows] for head, rows in shapes.items()}


def draw(space, shapes, seed, top_k=1, **provenance):
    choices = {head: op_choices(head, space, rows) for head, rows in shapes.items()}
    return random_genotype('SimSiam', choices, seed, top_k, provenance)


def chosen(genotype, head='projector'):
    return tuple(decision.chosen for decision in genotype.of(head))


def short(genotype, head):
    """The chosen options by their places in the space."""
    return ' '.join(
        '+'.join(str(decision.options.index(name)) for name in decision.chosen)
        for decision in genotype.of(head)
    )


def example():
    told = {'config': 'a.py', 'epoch': 50, 'versions': {'torch': '2'}, 'note': 'Zürich'}
    genotype = draw(S, SHAPES, 3, decided_at=shape_rows(SHAPES), **told)
    scored = Decision(S, (AVG,), (0.1, -2.5, 0.3, 1e-8))
    return Genotype(
        'SimSiam', {**genotype.decisions, 'projector.0.op': scored}, genotype.provenance
    )


def test_what_a_genotype_holds():
    genotype = example()
    assert genotype.heads == ('projector', 'predictor')
    assert len(genotype.of('projector')) == 2 and len(genotype.of('predictor')) == 3
    assert genotype.of('neck') == () and genotype.decided_at('neck') is None
    assert genotype.decided_at('predictor') == SHAPES['predictor']
    assert genotype.top_k == 1
    two = Genotype('MoCo', {'projector.0.op': Decision(S, (RELU, MAX))})
    assert two.top_k == 2 and two.decided_at('projector') is None


def test_a_head_whose_name_begins_as_anothers_is_another():
    one = Decision(S, (RELU,))
    genotype = Genotype('X', {'head.0.op': one, 'head_2.0.op': one, 'head_2.1.op': one})
    assert (len(genotype.of('head')), len(genotype.of('head_2'))) == (1, 2)


def test_weights_of_great_scores():
    decision = Decision(S, (RELU,), (1e308, -1e308, 1e308, None))
    assert decision.weights == {RELU: 0.5, MAX: 0.0, AVG: 0.5}
    assert decision.tied == (AVG,)


def test_choices_are_those_it_decided():
    genotype = example()
    assert choices_of(genotype) == {
        head: op_choices(head, S, shapes) for head, shapes in SHAPES.items()
    }
    untold = choices_of(Genotype('X', genotype.decisions))
    # Where no width is told every option is a candidate.
    assert [choice.present for choice in untold['predictor']] == [(True,) * 4] * 3
    assert [c.name for c in untold['predictor']] == [f'predictor.{n}.op' for n in range(3)]


def test_random_genotype_is_uniform_and_seeded():
    many = {'projector': layer_shapes(4, [4] * 800)}
    counts = Counter(chosen(draw(S, many, seed=5)))
    # Four deviations of a binomial of 800 at 1/4.
    assert set(counts) == {(op,) for op in S}
    assert all(abs(n - 200) < 4 * math.sqrt(800 * 0.25 * 0.75) for n in counts.values())
    few = {'projector': layer_shapes(4, [4] * 40)}
    assert draw(S, few, seed=5) == draw(S, few, seed=5)
    assert chosen(draw(S, few, seed=5)) != chosen(draw(S, few, seed=6))


def test_random_pairs_are_uniform():
    ops = chosen(draw(S, {'projector': layer_shapes(4, [4] * 600)}, seed=1, top_k=2))
    counts = Counter(frozenset(pair) for pair in ops)
    assert len(counts) == 6 and all(len(pair) == 2 for pair in counts)
    assert all(abs(n - 100) < 4 * math.sqrt(600 / 6 * 5 / 6) for n in counts.values())


def test_random_genotype_draws_among_the_candidates_of_the_layer():
    genotype = draw(SPACES["S'"], {'projector': [OUTPUT]}, seed=0, top_k=2)
    assert chosen(genotype) == ((RELU,),)
    assert genotype.of('projector')[0].scores == ()
    drawn = {chosen(draw(S, {'projector': [OUTPUT]}, seed))[0][0] for seed in range(60)}
    assert drawn == {RELU, MAX, AVG}


def test_heads_of_equal_shapes_are_drawn_apart():
    shapes = {name: layer_shapes(8, [8] * 12) for name in ('projector', 'predictor')}
    genotype = draw(S, shapes, 1)
    assert chosen(genotype) != chosen(genotype, 'predictor')


# What version 0.1 drew: two heads of seed 7 by the seeds 14 and 15.
DRAWN = {
    ('S', 1): ('0 1 2 2 2 0', '1 0 0 0'),
    ('S', 2): ('0+2 1+3 2+1 0+2 3+1 3+2', '1+0 0+3 1+0 0+2'),
    ("S'", 1): ('0 0 1 1 1 0', '0 0 0 0'),
    ("S'", 2): ('0+1 1+0 1+0 1+0 1+0 1+0', '0+1 0+1 0+1 0'),
    ('S+', 1): ('0 4 5 6 5 4', '1 0 4 5'),
    ('S+', 2): ('0+4 5+6 4+1 2+5 2+6 5+0', '1+0 4+5 0+1 0+5'),
}


@pytest.mark.parametrize(('case', 'expected'), DRAWN.items(), ids=str)
def test_same_seed_same_genotype_as_in_version_0_1(case, expected):
    space, top_k = case
    shapes = {
        'projector': layer_shapes(512, [512] * 6),
        'predictor': layer_shapes(2048, [512, 512, 512, 2048], plain_output=True),
    }
    genotype = draw(SPACES[space], shapes, 7, top_k)
    assert tuple(short(genotype, head) for head in shapes) == expected


def test_random_genotype_says_so_and_leaves_other_generators_alone():
    before = random.getstate(), torch.get_rng_state()
    genotype = draw(S, SHAPES, seed=4, space_of='a.json')
    assert random.getstate() == before[0] and torch.equal(torch.get_rng_state(), before[1])
    told = {'selection': 'random', 'top_k': 1, 'seed': 4, 'space_of': 'a.json'}
    assert genotype.provenance == told


@pytest.mark.parametrize('top_k', [1, 2])
@pytest.mark.parametrize('space', SPACES)
def test_round_trip(tmp_path, space, top_k):
    before = draw(SPACES[space], SHAPES, 0, top_k, decided_at=shape_rows(SHAPES))
    path = tmp_path / 'new' / 'genotype.json'
    save_genotype(before, path)
    assert load_genotype(path) == before
    save_genotype(load_genotype(path), tmp_path / 'again.json')
    assert path.read_bytes() == (tmp_path / 'again.json').read_bytes()


def test_file_is_plain_json_in_the_order_of_the_schema_a_decision_a_line(tmp_path):
    save_genotype(example(), tmp_path / 'genotype.json')
    text = (tmp_path / 'genotype.json').read_text(encoding='utf-8')
    data = json.loads(text)
    assert list(data) == ['schema_version', 'framework', 'decisions', 'provenance']
    assert data['schema_version'] == 2
    assert list(data['decisions']['projector.0.op']) == ['options', 'chosen', 'scores']
    assert list(data['decisions']['predictor.0.op']) == ['options', 'chosen']
    assert sum('"options"' in line and '"chosen"' in line for line in text.splitlines()) == 5
    assert text.endswith('}\n') and load_genotype(tmp_path / 'genotype.json') == example()


def test_scores_and_ties_survive_the_file(tmp_path):
    decision = Decision(S, (RELU,), (0.1, 0.1, -1 / 3, None))
    save_genotype(Genotype('SimCLR', {'projector.0.op': decision}), tmp_path / 'g.json')
    read = load_genotype(tmp_path / 'g.json').decisions['projector.0.op']
    assert read == decision and read.tied == (MAX,)


def test_provenance_that_looks_like_the_decisions_stays_what_it_is(tmp_path):
    told = {'"decisions": {}': '"decisions": {}', 'decisions': {}}
    genotype = Genotype('SimCLR', {'projector.0.op': Decision(S, (RELU,))}, told)
    save_genotype(genotype, tmp_path / 'g.json')
    assert load_genotype(tmp_path / 'g.json') == genotype


def full_disk(*args):
    raise OSError(errno.ENOSPC, 'No space left on device')


@pytest.mark.parametrize('call', [('replace', full_disk), ('fsync', full_disk)])
@pytest.mark.parametrize('old', [None, 'old text'])
def test_full_disk_leaves_nothing_half_written(tmp_path, monkeypatch, call, old):
    path = tmp_path / 'genotype.json'
    if old:
        path.write_text(old, encoding='utf-8')
    monkeypatch.setattr(os, *call)
    with pytest.raises(OSError, match='No space left on device'):
        save_genotype(example(), path)
    assert [file.name for file in tmp_path.iterdir()] == (['genotype.json'] if old else [])
    if old:
        assert path.read_text(encoding='utf-8') == old


@pytest.mark.parametrize(
    ('value', 'error'), [(float('nan'), ValueError), (object(), TypeError)], ids=['NaN', 'object']
)
def test_what_is_no_json_is_not_written(tmp_path, value, error):
    decisions = {'projector.0.op': Decision(S, (RELU,))}
    with pytest.raises(error):
        save_genotype(Genotype('SimSiam', decisions, {'loss': value}), tmp_path / 'n' / 'g.json')
    scored = {'projector.0.op': Decision(S, (RELU,), (value,) * 4)}
    with pytest.raises(error):
        save_genotype(Genotype('SimSiam', scored), tmp_path / 'n' / 'g.json')
    assert not list(tmp_path.iterdir())
