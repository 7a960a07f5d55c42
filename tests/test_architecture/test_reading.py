# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Malformed genotype files, each with its message; nothing but GenotypeError is raised."""

import copy
import json
import os
import random
import time

import pytest
from torch import nn

from nasiam_mm.architecture.genotype import Decision, GenotypeError, save_genotype
from nasiam_mm.architecture.reading import load_genotype, read_genotype
from nasiam_mm.ops.candidates import CANDIDATE_OPS, SPACES
from tests.test_architecture import malformed_choices, malformed_schema1, malformed_schema2
from tests.test_architecture.broken_files import broken
from tests.test_architecture.malformed_schema1 import S

SCHEMAS = {1: malformed_schema1, 2: malformed_schema2}
MALFORMED = {
    f'{number}: {name}': (schema.whole, *case)
    for number, schema in {**SCHEMAS, 'choices': malformed_choices}.items()
    for name, case in schema.MALFORMED.items()
}
BROKEN = {
    f'{number}: {name}': case
    for number, schema in SCHEMAS.items()
    for name, case in broken(schema.TEXT).items()
}


def one_line(message):
    return message.isprintable() and len(message) <= 500


def refused(path):
    """Message of the refusal of a file, checked to be one line about it."""
    with pytest.raises(GenotypeError) as caught:
        load_genotype(path)
    message = str(caught.value)
    assert message.startswith(f"genotype '{path}'")
    assert one_line(message.removeprefix(f"genotype '{path}'")), message
    return message.removeprefix(f"genotype '{path}'")


@pytest.mark.parametrize('schema', SCHEMAS)
def test_the_unchanged_genotype_is_valid(tmp_path, schema):
    path = tmp_path / 'genotype.json'
    path.write_text(SCHEMAS[schema].TEXT, encoding='utf-8')
    genotype = load_genotype(path)
    assert genotype.heads == ('projector', 'predictor') and genotype.top_k == 1
    assert [decision.chosen for decision in genotype.of('predictor')] == [
        ('identity',),
        ('linear_bn_relu',),
    ]
    assert genotype.decisions['projector.1.op'].scores == (0.0, 0.0, 0.0, 1.0)
    assert genotype.decisions['predictor.1.op'].scores == (1.0, 0.0, 0.0, None)
    assert genotype.decided_at('predictor') == ((6, 4, False), (4, 6, True))
    assert genotype.provenance['config'] == 'a.py'


def test_both_schemas_say_the_same():
    first, second = (read_genotype(schema.TEXT) for schema in SCHEMAS.values())
    assert first == second


def test_defaults_of_schema_2():
    data = malformed_schema2.whole()
    del data['provenance'], data['decisions']['projector.0.op']['scores']
    genotype = read_genotype(json.dumps(data))
    assert genotype.decisions['projector.0.op'] == Decision(tuple(S), ('identity',))
    assert genotype.provenance == {} and genotype.decided_at('projector') is None
    assert genotype.decisions['projector.0.op'].weights == {}


def test_defaults_of_schema_1():
    data = malformed_schema1.whole()
    for key in ('edge', 'provenance'):
        del data[key]
    for key in ('is_output', 'alpha', 'softmax', 'candidates'):
        del data['cells']['projector']['layers'][0][key]
    genotype = read_genotype(json.dumps(data))
    assert genotype.top_k == 1
    assert genotype.decisions['projector.0.op'] == Decision(tuple(S), ('identity',))
    assert genotype.decided_at('projector')[0] == (4, 4, False)


@pytest.mark.parametrize('key', ['selection', 'top_k', 'decided_at'])
def test_what_provenance_does_not_tell_is_not_held_against_it(key):
    data = malformed_schema2.whole()
    del data['provenance'][key]
    assert key not in read_genotype(json.dumps(data)).provenance


def test_choices_that_are_no_operations(tmp_path):
    genotype = read_genotype(malformed_choices.TEXT)
    assert genotype.heads == ('projector', 'predictor') and genotype.top_k == 1
    assert genotype.of('projector') == () == genotype.of('predictor')
    assert genotype.settings('projector') == {
        'depth': 3, 'width_ratio': 0.5, 'out_channels': 256, 'hidden_norm': 'ln',
        'activation': 'gelu', 'output_norm': 'bn_no_affine',
    }  # fmt: skip
    assert genotype.settings('predictor') == {'form': 'mlp', 'width_ratio': 4}
    assert genotype.settings() == {'temperature': 0.2, 'predictor_lr': 10}
    save_genotype(genotype, tmp_path / 'g.json')
    assert load_genotype(tmp_path / 'g.json') == genotype


@pytest.mark.parametrize('seed', range(300))
def test_a_changed_genotype_of_choices_is_read_or_refused_in_one_line(seed):
    rng, data = random.Random(seed), malformed_choices.whole()
    values = [None, True, 0, -1, 1e9, 10**400, 'bn', '', [], {}, [1], 'projector.depth', 0.5, 2]
    for _ in range(rng.randint(1, 3)):
        name = rng.choice(list(data['decisions']))
        row = data['decisions'][name]
        key = rng.choice(['options', 'chosen'])
        kind = rng.randrange(4)
        if kind == 0:
            row[key] = rng.choice(values)
        elif kind == 1 and isinstance(row.get(key), list) and row[key]:
            row[key][rng.randrange(len(row[key]))] = rng.choice(values)
        elif kind == 2:
            row.pop(key, None)
        else:
            other = rng.choice(['projector.0.op', 'depth', 'x.y.z', f'{name}x', '.', 'a.depth'])
            data['decisions'][other] = data['decisions'].pop(name)
    try:
        read_genotype(json.dumps(data))
    except GenotypeError as error:
        assert one_line(str(error))


def test_what_a_person_chose_need_not_have_the_highest_score():
    data = malformed_schema2.whole()
    data['decisions']['projector.0.op']['chosen'] = ['max_pool_3_bn']
    data['provenance']['selection'] = 'by hand'
    assert read_genotype(json.dumps(data)).decisions['projector.0.op'].chosen == ('max_pool_3_bn',)


@pytest.mark.parametrize(('whole', 'apply', 'message'), MALFORMED.values(), ids=MALFORMED)
def test_malformed_genotype(tmp_path, whole, apply, message):
    data = whole()
    apply(data)
    path = tmp_path / 'genotype.json'
    path.write_text(json.dumps(data), encoding='utf-8')
    assert message in refused(path)


@pytest.mark.parametrize(('content', 'message'), BROKEN.values(), ids=BROKEN)
def test_broken_file(tmp_path, content, message):
    path = tmp_path / 'genotype.json'
    path.write_bytes(content)
    assert message in refused(path)


def test_what_is_no_file(tmp_path):
    missing = ' does not exist; run a search first, or pass --genotype FILE'
    assert missing in refused(tmp_path / 'no.json')
    assert refused(tmp_path) == ' is not a file'
    os.mkfifo(tmp_path / 'fifo')
    assert refused(tmp_path / 'fifo') == ' is not a file'  # Opening it would wait for ever.
    assert refused('/dev/null') == ' is not a file'
    with pytest.raises(GenotypeError, match='cannot be read: embedded null'):
        load_genotype('a\0b')


def test_two_ops_named_once():
    data = malformed_schema1.whole()
    data['edge'] = True
    for cell in data['cells'].values():
        for one in cell['layers']:
            del one['alpha'], one['softmax']
    # Imported genotypes may have one operation where two names are one function.
    assert read_genotype(json.dumps(data)).provenance['top_k'] == 2
    data['cells']['projector']['layers'][0]['ops'] = ['identity', 'identity']
    with pytest.raises(GenotypeError, match=r"projector\.0\.op\.chosen: names 'identity' twice"):
        read_genotype(json.dumps(data))


@pytest.fixture
def grouped():
    """An operation that takes no width but multiples of three, and says so on two lines."""

    def build(in_channels, out_channels, is_output=False):
        if out_channels % 3:
            raise RuntimeError('no groups\nof three')
        return nn.Sequential(nn.Linear(in_channels, out_channels), nn.GroupNorm(3, out_channels))

    CANDIDATE_OPS.register_module(name='grouped', module=build)
    yield ['identity', 'grouped']
    CANDIDATE_OPS.module_dict.pop('grouped')


def test_op_that_does_not_take_the_width_is_refused(grouped):
    layer = {'in_channels': 6, 'out_channels': 6, 'ops': ['grouped']}
    first = {
        'schema_version': 1,
        'framework': 'SimSiam',
        'space': grouped,
        'cells': {'projector': {'layers': [layer]}},
    }
    second = {
        'schema_version': 2,
        'framework': 'SimSiam',
        'decisions': {'projector.0.op': {'options': grouped, 'chosen': ['grouped']}},
        'provenance': {'decided_at': {'projector': [[6, 6, False]]}},
    }
    # Width 6 suits the operation, though width 1 would not.
    for data in (first, second):
        assert read_genotype(json.dumps(data)).of('projector')[0].chosen == ('grouped',)
    layer['out_channels'] = second['provenance']['decided_at']['projector'][0][1] = 4
    for data in (first, second):
        with pytest.raises(GenotypeError, match=r'operation does not take these wid') as caught:
            read_genotype(json.dumps(data))
        assert str(caught.value).endswith('no groups\\nof three')


@pytest.mark.parametrize('heads', [1, 100, 1000])
def test_a_thousand_decisions_are_read_within_a_second(heads):
    options, rng = list(SPACES['S+']), random.Random(0)
    decisions, shapes = {}, {}
    for head in range(heads):
        depth = 1000 // heads
        one = {'options': options, 'chosen': ['identity']}
        decisions |= {f'h{head}.{n}.op': one for n in range(depth)}
        widths = [rng.randint(1, 2**20) for _ in range(depth + 1)]
        shapes[f'h{head}'] = [[*widths[n : n + 2], False] for n in range(depth)]
    provenance = {'decided_at': shapes}
    data = {'schema_version': 2, 'framework': 'a', 'decisions': decisions, 'provenance': provenance}
    text = json.dumps(data)
    began = time.process_time()
    assert len(read_genotype(text).decisions) == 1000
    assert time.process_time() - began < 1


def test_names_without_number_do_not_hold_the_reader_up():
    names = [f'a{n}' for n in range(40000)]
    data = malformed_schema2.whole()
    data['decisions'] = {'projector.0.op': {'options': names, 'chosen': names}}
    began = time.process_time()
    with pytest.raises(GenotypeError, match="unknown candidate operation 'a0'"):
        read_genotype(json.dumps(data))
    assert time.process_time() - began < 1


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
        assert one_line(str(error)), str(error)


STRANGE = [
    None, True, -1, 0, 2, 1.5, 10**400, '', 'x\ny', 'identity', '\ud800', [], {}, [[]], [None],
    {'': 0}, {'layers': [{}]}, ['identity'] * 2, {'projector.0.op': {}}, [[4, 4, True]], 'a' * 999,
]  # fmt: skip


@pytest.mark.parametrize('schema', SCHEMAS.values(), ids=SCHEMAS)
def test_any_value_anywhere_raises_nothing_else(schema):
    places = [path for path in paths(schema.whole()) if path]
    assert len(places) > 70
    for path in places:
        for value in [*STRANGE, ...]:
            data = copy.deepcopy(schema.whole())
            schema.change(*path, to=value)(data)
            survives(json.dumps(data))


@pytest.mark.parametrize('schema', SCHEMAS.values(), ids=SCHEMAS)
def test_any_damage_to_the_text_raises_nothing_else(schema):
    for end in range(len(schema.TEXT)):
        with pytest.raises(GenotypeError):
            read_genotype(schema.TEXT[:end])
    rng = random.Random(0)
    for _ in range(1000):
        characters = list(schema.TEXT)
        for _ in range(rng.randint(1, 3)):
            place = rng.randrange(len(characters))
            characters[place : place + rng.randint(0, 2)] = rng.choice('{}[]":,.0-9eE\\ ntf\x00é')
        survives(''.join(characters))


@pytest.mark.parametrize('schema', SCHEMAS.values(), ids=SCHEMAS)
def test_any_depth_raises_nothing_else(schema):
    for depth in range(50, 1100, 50):
        for opening, closing in (('[', ']'), ('{"a":', '}')):
            nest = f'{opening * depth}0{closing * depth}'
            for key in schema.whole():
                data = schema.whole() | {key: '?'}
                survives(json.dumps(data).replace('"?"', nest))
