# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Genotypes of schema 1 are read for ever: every one that was ever shipped, and two a layer."""

import json

import pytest
import torch
from torch import nn

from nasiam_mm.architecture.genotype import save_genotype
from nasiam_mm.architecture.reading import load_genotype, read_genotype
from nasiam_mm.models.heads import HeadMLP
from nasiam_mm.ops.candidates import LayerShape, build_op, candidate_labels
from tests.reduced import ROOT

SHIPPED = [
    *sorted((ROOT / 'tests/data/genotypes_schema1').glob('*.json')),
    *sorted((ROOT / 'docs/results/heads_demo').rglob('genotype.json')),
]
# The folder of a run tells one file from another, as the name does elsewhere.
IDS = [path.parent.name if path.name == 'genotype.json' else path.stem for path in SHIPPED]


@pytest.fixture(params=SHIPPED, ids=IDS)
def path(request):
    return request.param


def old_layers(path):
    """Head -> layers as the file of schema 1 has them."""
    data = json.loads(path.read_text(encoding='utf-8'))
    return {name: cell['layers'] for name, cell in data['cells'].items()}


def shape_of(layer):
    return LayerShape(layer['in_channels'], layer['out_channels'], layer['is_output'])


def head_of(path, name, layers):
    return HeadMLP(
        name,
        layers[0]['in_channels'],
        layers[0]['out_channels'],
        layers[-1]['out_channels'],
        genotype=path,
        plain_output=layers[-1]['is_output'],
        with_avg_pool=False,
    )


def test_all_are_there():
    versions = [json.loads(p.read_text(encoding='utf-8'))['schema_version'] for p in SHIPPED]
    assert versions == [1] * 42


def test_becomes_schema_2(path, tmp_path):
    genotype = load_genotype(path)
    save_genotype(genotype, tmp_path / 'new.json')
    new = json.loads((tmp_path / 'new.json').read_text(encoding='utf-8'))
    assert new['schema_version'] == 2
    assert load_genotype(tmp_path / 'new.json') == genotype
    old = json.loads(path.read_text(encoding='utf-8'))
    assert genotype.framework == old['framework']
    assert old['provenance'].items() <= genotype.provenance.items()
    assert list(genotype.heads) == list(old['cells'])
    for name, layers in old_layers(path).items():
        assert genotype.decided_at(name) == tuple(map(shape_of, layers))
        for decision, layer in zip(genotype.of(name), layers, strict=True):
            assert list(decision.options) == old['space']
            labels = candidate_labels(decision.options, shape_of(layer))
            assert [labels[option] for option in decision.chosen] == layer['ops']
            assert list(decision.scored.values()) == layer.get('alpha', [])
            assert list(decision.weights.values()) == pytest.approx(layer.get('softmax', []))
            assert [labels[option] for option in decision.tied] == layer.get('tied', [])


def test_head_is_the_one_it_described(path):
    for name, layers in old_layers(path).items():
        # Parameters have no place on the meta device: this is about their names and shapes.
        with torch.device('meta'):
            head = head_of(path, name, layers)
            told = nn.ModuleList(
                nn.ModuleDict({op: build_op(op, *shape_of(layer)) for op in layer['ops']})
                for layer in layers
            )
        assert [list(ops) for ops in head.cell.layers] == [layer['ops'] for layer in layers]
        assert repr(head.cell.layers) == repr(told)
        expected = {f'cell.layers.{key}': value.shape for key, value in told.state_dict().items()}
        assert {key: value.shape for key, value in head.state_dict().items()} == expected


def test_the_output_of_the_predictor_is_the_plain_linear_map():
    path = ROOT / 'tests/data/genotypes_schema1/simsiam_r18_cifar10.json'
    with torch.device('meta'):
        head = head_of(path, 'predictor', old_layers(path)['predictor'])
    state = {key: tuple(value.shape) for key, value in head.state_dict().items()}
    assert state['cell.layers.3.linear.0.weight'] == (2048, 512)
    assert state['cell.layers.3.linear.0.bias'] == (2048,)
    assert [key for key in state if key.startswith('cell.layers.3')] == [
        'cell.layers.3.linear.0.weight',
        'cell.layers.3.linear.0.bias',
    ]


RELU, MAX, AVG, IDENTITY = S = ['linear_bn_relu', 'max_pool_3_bn', 'avg_pool_3_bn', 'identity']
# As version 0.1 wrote it: 6 -> 4, where identity is the linear map, and an output, where
# linear_bn_relu and identity are it.
EDGE = {
    'schema_version': 1,
    'framework': 'BYOL',
    'space': S,
    'edge': True,
    'cells': {
        'predictor': {
            'layers': [
                {
                    'in_channels': 6,
                    'out_channels': 4,
                    'is_output': False,
                    'candidates': [*S[:3], 'linear'],
                    'ops': ['linear', MAX],
                    'alpha': [0.0, 1.0, 1.0, 1.0],
                    'softmax': [0.1092318, 0.2969228, 0.2969228, 0.2969228],
                    'tied': [AVG],
                },
                {
                    'in_channels': 4,
                    'out_channels': 6,
                    'is_output': True,
                    'candidates': ['linear', MAX, AVG],
                    'ops': [AVG, 'linear'],
                    'alpha': [0.0, -1.0, 1.0],
                    'softmax': [0.2447285, 0.0900306, 0.6652409],
                },
            ]
        }
    },
    'provenance': {},
}


def test_two_a_layer_with_merged_candidates():
    genotype = read_genotype(json.dumps(EDGE))
    first, last = genotype.of('predictor')
    assert (first.chosen, first.scores) == ((IDENTITY, MAX), (0.0, 1.0, 1.0, 1.0))
    assert (last.chosen, last.scores) == ((AVG, RELU), (0.0, -1.0, 1.0, None))
    assert first.tied == (AVG,) and last.tied == ()
    assert genotype.top_k == genotype.provenance['top_k'] == 2
    assert genotype.provenance['selection'] == 'top_k'
    head = HeadMLP('predictor', 6, 4, 6, genotype=genotype, plain_output=True, with_avg_pool=False)
    assert [list(layer) for layer in head.cell.layers] == [['linear', MAX], [AVG, 'linear']]


@pytest.mark.parametrize('space', [['identity', 'linear'], ['linear', 'identity']])
def test_the_label_becomes_the_option_that_owned_its_alpha(space):
    layer = {'in_channels': 6, 'out_channels': 4, 'ops': ['linear']}
    data = {
        'schema_version': 1,
        'framework': 'SimCLR',
        'space': space,
        'cells': {'projector': {'layers': [layer]}},
    }
    assert read_genotype(json.dumps(data)).of('projector')[0].chosen == (space[0],)
