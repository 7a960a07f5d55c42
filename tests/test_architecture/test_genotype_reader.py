# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Malformed genotype files, each with its message; nothing but GenotypeError is raised."""

import copy
import functools
import json
import random

import pytest

from nasiam_mm.architecture.genotype import GenotypeError
from nasiam_mm.architecture.reading import load_genotype, read_genotype
from nasiam_mm.ops.candidates import CANDIDATE_OPS, distinct_candidates
from tests.test_architecture.malformed_genotypes import BROKEN, MALFORMED, TEXT, S, whole


def refused(path):
    """Message of the refusal of a file, checked to be one line about it."""
    with pytest.raises(GenotypeError) as caught:
        load_genotype(path)
    message = str(caught.value)
    assert message.startswith(f"genotype '{path}'") and '\n' not in message
    return message.removeprefix(f"genotype '{path}'")


def test_the_unchanged_genotype_is_valid(tmp_path):
    path = tmp_path / 'genotype.json'
    path.write_text(TEXT)
    genotype = load_genotype(path)
    assert genotype.cells['predictor'].ops == (('linear',), ('linear',))
    assert genotype.cells['projector'].layers[0].alpha == (0.0, 0.0, 0.0, 1.0)


def test_defaults():
    data = whole()
    for key in ('edge', 'provenance'):
        del data[key]
    for key in ('is_output', 'alpha', 'softmax', 'candidates'):
        del data['cells']['projector']['layers'][0][key]
    genotype = read_genotype(json.dumps(data))
    first = genotype.cells['projector'].layers[0]
    assert genotype.edge is False and genotype.provenance == {}
    assert first.is_output is False and first.alpha == () and first.candidates == tuple(S)


@pytest.mark.parametrize(('apply', 'message'), MALFORMED.values(), ids=MALFORMED)
def test_malformed_genotype(tmp_path, apply, message):
    data = whole()
    apply(data)
    path = tmp_path / 'genotype.json'
    path.write_text(json.dumps(data))
    assert message in refused(path)


@pytest.mark.parametrize(('content', 'message'), BROKEN.values(), ids=BROKEN)
def test_broken_file(tmp_path, content, message):
    path = tmp_path / 'genotype.json'
    path.write_bytes(content)
    assert message in refused(path)


def test_missing_file_and_directory(tmp_path):
    assert ' does not exist; run a search first, or pass --genotype FILE' in refused(
        tmp_path / 'no.json'
    )
    assert ' cannot be read: [Errno 21] Is a directory' in refused(tmp_path)


def test_two_ops_named_once():
    data = whole()
    data['edge'] = True
    for cell in data['cells'].values():
        for one in cell['layers']:
            del one['alpha'], one['softmax']
    # Imported genotypes may have one operation where two names are one function.
    assert read_genotype(json.dumps(data)).edge
    data['cells']['projector']['layers'][0]['ops'] = ['identity', 'identity']
    with pytest.raises(GenotypeError, match=r"layers\[0\].ops: names 'identity' twice"):
        read_genotype(json.dumps(data))


def test_op_that_does_not_take_the_width_is_refused():
    from torch import nn

    def grouped(in_channels, out_channels, is_output=False):
        return nn.Sequential(nn.Linear(in_channels, out_channels), nn.GroupNorm(3, out_channels))

    CANDIDATE_OPS.register_module(name='grouped', module=grouped)
    try:
        data = {
            'schema_version': 1,
            'framework': 'SimSiam',
            'space': ['identity', 'grouped'],
            'cells': {
                'projector': {'layers': [{'in_channels': 6, 'out_channels': 6, 'ops': ['grouped']}]}
            },
        }
        # Width 6 suits the operation, though width 1 would not.
        assert read_genotype(json.dumps(data)).cells['projector'].ops == (('grouped',),)
        data['cells']['projector']['layers'][0]['out_channels'] = 4
        with pytest.raises(GenotypeError, match=r'layers\[0\]: an operation does not take these'):
            read_genotype(json.dumps(data))
    finally:
        CANDIDATE_OPS.module_dict.pop('grouped')


@pytest.fixture
def quick(monkeypatch):
    """Look for duplicates once per shape: these tests read hundreds of genotypes."""
    monkeypatch.setattr(
        'nasiam_mm.architecture.reading.distinct_candidates', functools.cache(distinct_candidates)
    )


def paths(data, path=()):
    """Every place of a nested structure."""
    yield path
    if isinstance(data, list):
        data = dict(enumerate(data))
    for key, value in data.items() if isinstance(data, dict) else ():
        yield from paths(value, (*path, key))


def survives(text):
    try:
        read_genotype(text)
    except GenotypeError as error:
        assert '\n' not in str(error)


STRANGE = [
    None, True, -1, 0, 2, 1.5, 10**400, '', 'x\ny', 'identity', '\ud800', [], {}, [[]], [None],
    {'': 0}, {'layers': [{}]}, ['identity'] * 2,
]  # fmt: skip


def test_any_value_anywhere_raises_nothing_else(quick):
    places = [path for path in paths(whole()) if path]
    assert len(places) > 80
    for path in places:
        for value in [*STRANGE, ...]:
            data = copy.deepcopy(whole())
            parent = data
            for step in path[:-1]:
                parent = parent[step]
            if value is ...:
                parent.pop(path[-1])
            else:
                parent[path[-1]] = value
            survives(json.dumps(data))


def test_any_damage_to_the_text_raises_nothing_else(quick):
    for end in range(len(TEXT)):
        with pytest.raises(GenotypeError):
            read_genotype(TEXT[:end])
    rng = random.Random(0)
    for _ in range(1000):
        characters = list(TEXT)
        for _ in range(rng.randint(1, 3)):
            place = rng.randrange(len(characters))
            characters[place : place + rng.randint(0, 2)] = rng.choice('{}[]":,0-9eE\\ ntf\x00é')
        survives(''.join(characters))


def test_any_depth_raises_nothing_else():
    for depth in range(50, 1100, 50):
        for opening, closing in (('[', ']'), ('{"a":', '}')):
            nest = f'{opening * depth}0{closing * depth}'
            for key in ('framework', 'space', 'cells', 'provenance'):
                data = whole() | {key: '?'}
                survives(json.dumps(data).replace('"?"', nest))
