# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Discretisation, random genotypes, and files written whole."""

import errno
import functools
import itertools
import json
import math
import os
from collections import Counter

import pytest
import torch

from nasiam_mm.architecture.genotype import (
    CellGenotype,
    Genotype,
    GenotypeError,
    derive_cell,
    random_cell,
    save_genotype,
)
from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.ops.candidates import SPACES, LayerShape, distinct_candidates, layer_shapes

S = SPACES['S']
RELU, MAX, AVG, IDENTITY = S
SAME = LayerShape(6, 6)
OUTPUT = LayerShape(6, 4, True)


def derive(alpha, shapes=(SAME,), space=S, edge=False):
    return derive_cell(torch.tensor(alpha), space, shapes, edge)


def genotype(space=S, edge=False, searched=True):
    torch.manual_seed(3)
    chains = {
        'projector': layer_shapes(6, [6, 6]),
        'predictor': layer_shapes(8, [4, 4, 8], plain_output=True),
    }
    cells = {
        name: derive_cell(torch.randn(len(shapes), len(space)), space, shapes, edge)
        if searched
        else random_cell(space, shapes, 0, edge)
        for name, shapes in chains.items()
    }
    provenance = {'config': 'a.py', 'epoch': 50, 'versions': {'torch': '2'}, 'note': 'Zürich'}
    return Genotype('SimSiam', space, cells, provenance, edge)


def test_top_operation_of_each_layer():
    cell = derive([[0.1, 0.2, -1.0, 0.0], [3.0, 0.2, 0.1, 0.0]], (SAME, SAME))
    assert cell.ops == ((MAX,), (RELU,))
    assert cell.shapes == (SAME, SAME)
    layer = cell.layers[0]
    assert layer.candidates == S and layer.tied == ()
    assert layer.alpha == pytest.approx((0.1, 0.2, -1.0, 0.0))
    exponentials = [math.exp(a) for a in layer.alpha]
    assert layer.softmax == pytest.approx([e / sum(exponentials) for e in exponentials])


def test_edge_takes_the_top_two_in_order():
    cell = derive([[0.1, 0.2, 0.9, 0.0]], edge=True)
    assert cell.ops == ((AVG, MAX),)


def test_positions_without_a_candidate_are_no_choice():
    # At this output linear_bn_relu and identity are one linear map, at position 0.
    cell = derive([[0.2, 0.1, 0.0, 9.0]], (OUTPUT,))
    assert cell.layers[0].candidates == ('linear', MAX, AVG)
    assert cell.ops == (('linear',),)
    assert cell.layers[0].alpha == pytest.approx((0.2, 0.1, 0.0))
    only = derive([[0.2, 0.1]], (OUTPUT,), SPACES["S'"], edge=True)
    assert only.ops == (('linear',),) and only.layers[0].softmax == (1.0,)


@pytest.mark.parametrize('order', list(itertools.permutations(range(4)))[::3])
@pytest.mark.parametrize('edge', [False, True])
def test_ties_are_reported_whatever_the_order_of_the_space(order, edge):
    space = tuple(S[k] for k in order)
    value = {RELU: 0.5, MAX: 0.5, AVG: -0.5, IDENTITY: 0.5}
    layer = derive([[value[op] for op in space]], space=space, edge=edge).layers[0]
    best = [op for op in space if op != AVG]
    assert layer.ops == tuple(best[: 1 + edge])
    assert set(layer.ops) | set(layer.tied) == {RELU, MAX, IDENTITY}
    assert len(layer.tied) == 2 - edge


def test_a_tie_inside_the_choice_is_none():
    layer = derive([[0.5, 0.5, 0.1, 0.1]], edge=True).layers[0]
    assert layer.ops == (RELU, MAX) and layer.tied == ()
    layer = derive([[0.9, 0.5, 0.1, 0.5]], edge=True).layers[0]
    assert layer.ops == (RELU, MAX) and layer.tied == (IDENTITY,)


def test_uniform_alpha_ties_everything():
    layer = derive([[0.0] * 4]).layers[0]
    assert layer.ops == (RELU,) and layer.tied == (MAX, AVG, IDENTITY)


@pytest.mark.parametrize('value', [float('nan'), float('inf'), float('-inf')])
def test_alpha_must_be_finite(value):
    with pytest.raises(GenotypeError, match=r'alpha of layer 1 is not finite.*lower the alpha'):
        derive([[0.0] * 4, [0.0, value, 0.0, 0.0]], (SAME, SAME))


@pytest.mark.parametrize('shape', [(1, 4), (2, 3), (2, 4, 1), (8,)])
def test_alpha_must_fit_the_space(shape):
    with pytest.raises(GenotypeError, match=r'2 layers of 4 operations need \(2, 4\)'):
        derive_cell(torch.zeros(shape), S, (SAME, SAME))


@pytest.fixture
def quick(monkeypatch):
    """Look for duplicates once per shape: these tests have hundreds of equal layers."""
    monkeypatch.setattr(
        'nasiam_mm.architecture.genotype.distinct_candidates', functools.cache(distinct_candidates)
    )


def test_random_cell_is_uniform_and_seeded(quick):
    shapes = layer_shapes(4, [4] * 800)
    counts = Counter(ops for ops in random_cell(S, shapes, seed=5).ops)
    # Four deviations of a binomial of 800 at 1/4.
    assert set(counts) == {(op,) for op in S}
    assert all(abs(n - 200) < 4 * math.sqrt(800 * 0.25 * 0.75) for n in counts.values())
    few = shapes[:40]
    assert random_cell(S, few, seed=5) == random_cell(S, few, seed=5)
    assert random_cell(S, few, seed=5) != random_cell(S, few, seed=6)


def test_random_pairs_are_uniform(quick):
    ops = random_cell(S, layer_shapes(4, [4] * 600), seed=1, edge=True).ops
    counts = Counter(frozenset(pair) for pair in ops)
    assert len(counts) == 6 and all(len(pair) == 2 for pair in counts)
    assert all(abs(n - 100) < 4 * math.sqrt(600 / 6 * 5 / 6) for n in counts.values())


def test_random_cell_draws_among_the_candidates_of_the_layer():
    cell = random_cell(SPACES["S'"], [OUTPUT], seed=0, edge=True)
    assert cell.ops == (('linear',),)
    assert cell.layers[0].alpha == () and cell.layers[0].softmax == ()


def test_random_cell_leaves_other_generators_alone():
    import random

    before = random.getstate(), torch.get_rng_state()
    random_cell(S, [SAME, OUTPUT], seed=0)
    assert random.getstate() == before[0] and torch.equal(torch.get_rng_state(), before[1])


@pytest.mark.parametrize('searched', [True, False], ids=['searched', 'random'])
@pytest.mark.parametrize('edge', [False, True], ids=['one', 'two'])
@pytest.mark.parametrize('space', SPACES)
def test_round_trip(tmp_path, space, edge, searched):
    before = genotype(SPACES[space], edge, searched)
    path = tmp_path / 'new' / 'genotype.json'
    save_genotype(before, path)
    assert load_genotype(path) == before
    save_genotype(load_genotype(path), tmp_path / 'again.json')
    assert path.read_bytes() == (tmp_path / 'again.json').read_bytes()


def test_file_is_plain_json_in_the_order_of_the_schema(tmp_path):
    save_genotype(genotype(), tmp_path / 'genotype.json')
    data = json.loads((tmp_path / 'genotype.json').read_text())
    keys = ['schema_version', 'framework', 'space', 'edge', 'cells', 'provenance']
    assert list(data) == keys
    assert data['schema_version'] == 1
    assert list(data['cells']['predictor']['layers'][0])[:5] == [
        'in_channels',
        'out_channels',
        'is_output',
        'candidates',
        'ops',
    ]


def test_tied_survives_the_file(tmp_path):
    cell = derive([[0.0] * 4])
    save_genotype(Genotype('SimCLR', S, {'projector': cell}), tmp_path / 'g.json')
    assert load_genotype(tmp_path / 'g.json').cells['projector'] == cell


def full_disk(*args):
    raise OSError(errno.ENOSPC, 'No space left on device')


@pytest.mark.parametrize('call', [('replace', full_disk), ('fsync', full_disk)])
@pytest.mark.parametrize('old', [None, 'old text'])
def test_full_disk_leaves_nothing_half_written(tmp_path, monkeypatch, call, old):
    path = tmp_path / 'genotype.json'
    if old:
        path.write_text(old)
    monkeypatch.setattr(os, *call)
    with pytest.raises(OSError, match='No space left on device'):
        save_genotype(genotype(), path)
    assert [file.name for file in tmp_path.iterdir()] == (['genotype.json'] if old else [])
    if old:
        assert path.read_text() == old


def test_what_is_no_json_is_not_written(tmp_path):
    cells = {'projector': CellGenotype(random_cell(S, [SAME], 0).layers)}
    for value, error in ((float('nan'), ValueError), (object(), TypeError)):
        with pytest.raises(error):
            save_genotype(Genotype('SimSiam', S, cells, {'loss': value}), tmp_path / 'n' / 'g.json')
    assert not list(tmp_path.iterdir())
