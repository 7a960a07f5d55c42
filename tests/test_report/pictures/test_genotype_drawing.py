# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A drawing tells the whole genotype, and its texts do not collide."""

import runpy
import sys
from dataclasses import replace

import pytest
import torch
from matplotlib.patches import Rectangle
from torch import nn

from nasiam_mm.architecture.alpha import Architecture
from nasiam_mm.architecture.choice import op_choices
from nasiam_mm.architecture.genotype import Decision, Genotype, random_genotype, save_genotype
from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.ops.candidates import CANDIDATE_OPS, SPACES, layer_shapes
from nasiam_mm.report.pictures.figure import op_colors
from nasiam_mm.report.pictures.genotype_drawing import draw_genotype, genotype_figure
from nasiam_mm.report.pictures.genotype_parts import layers_of, notes, readable
from tests.reduced import ROOT
from tests.small import top_k
from tests.test_report.pictures.pictures import collisions, visible_texts

TOOL = ROOT / 'tools/analysis_tools/draw_genotype.py'
PROJECTOR = layer_shapes(512, [512] * 6)
PREDICTOR = layer_shapes(2048, [512] * 3 + [2048], plain_output=True)
PROVENANCE = {
    'config': 'configs/nasiam/simsiam_r18_search_cifar10.py',
    'dataset': 'CIFAR-10',
    'epoch': 50,
    'seed': 0,
    'versions': {'torch': '2.12.1'},
}


def shape_rows(shapes):
    """Widths as ``provenance['decided_at']`` holds them."""
    return {head: [list(shape) for shape in rows] for head, rows in shapes.items()}


def genotype(framework='SimSiam', space='S', chains=None, k=1, ties=False, searched=True):
    torch.manual_seed(1)
    chains = {'projector': PROJECTOR, 'predictor': PREDICTOR} if chains is None else chains
    choices = {name: op_choices(name, SPACES[space], shapes) for name, shapes in chains.items()}
    told = {'decided_at': shape_rows(chains)}
    if not searched:
        drawn = random_genotype(framework, choices, 0, k, told)
        return replace(drawn, provenance=told)
    architecture = Architecture(choices)
    for alpha in architecture.alphas():
        alpha.copy_(torch.randn(alpha.shape))
        alpha.copy_(alpha.round() if ties else alpha)
    return top_k(architecture, framework, k, {**told, **PROVENANCE})


def all_layers(genotype):
    return [layer for head in genotype.heads for layer in layers_of(genotype, head)]


def options_of(genotype):
    return next(iter(genotype.decisions.values())).options


CASES = {
    'SimSiam': genotype(),
    'two operations a layer': genotype(space='S+', k=2),
    'two operations, one candidate': genotype(space="S'", k=2),
    'ties': genotype(space='S+', ties=True),
    'ties of two': genotype(space='S+', k=2, ties=True),
    'random': genotype(searched=False),
    'no widths': Genotype('MoCo', genotype('MoCo').decisions, PROVENANCE),
    'published': load_genotype(ROOT / 'genotypes/published/simsiam_r18_cifar10.json'),
    'SimCLR': genotype('SimCLR', chains={'projector': layer_shapes(512, [512] * 5 + [128])}),
    'MoCo, one layer': genotype('MoCo', chains={'projector': PROJECTOR[:1]}),
    'predictor alone': genotype(chains={'predictor': PREDICTOR}),
    'another cell': genotype('Mine', chains={'a_cell_of_another_name': PROJECTOR[:1]}),
    'great widths': genotype(
        chains={
            'projector': layer_shapes(10**6, [10**6] * 2),
            'predictor': layer_shapes(10**6, [10**6] * 2, True),
        }
    ),
}


@pytest.fixture(params=CASES.values(), ids=CASES)
def case(request):
    return request.param


def test_texts_neither_collide_nor_leave_the_picture(case):
    assert collisions(genotype_figure(case)) == []


def of_choices(framework, **options):
    named = {name.replace('__', '.'): option for name, option in options.items()}
    decisions = {name: Decision((o,), (o,)) for name, o in named.items()}
    return Genotype(framework, decisions, PROVENANCE)


CHOICES = {
    'contrastive': of_choices(
        'MoCo', projector__depth=3, projector__hidden_norm='ln', projector__activation='gelu',
        projector__output_norm='bn_no_affine', projector__width_ratio=4.0, temperature=0.2,
    ),
    'no predictor': of_choices('SimSiam', projector__depth=1, predictor__form='none'),
    'linear predictor': of_choices(
        'BYOL', projector__depth=4, predictor__form='linear', predictor_lr=10
    ),
    'operations beside': of_choices(
        'SimCLR', projector__depth=3, projector__out_channels=64, projector__0__op='identity'
    ),
}  # fmt: skip


@pytest.mark.parametrize('name', CHOICES)
def test_choices_that_are_no_operations(name):
    figure = genotype_figure(CHOICES[name])
    assert collisions(figure) == []
    texts = [text for text, _ in visible_texts(figure)]
    boxes, titles = {
        'contrastive': (
            {'Linear, LN, GELU': 3, 'Linear, BN without affine': 2},
            ['MoCo, 6 choices, temperature 0.2', 'projector cell, width ratio 4'],
        ),
        # Once more in the legend.
        'no predictor': ({'Linear': 2, 'layer 0': 1}, ['predictor cell, form none']),
        'linear predictor': (
            {'Linear, BN, ReLU': 4, 'Linear': 3},
            ['BYOL, 3 choices, predictor lr 10', 'predictor cell, form linear'],
        ),
        'operations beside': (
            {'Identity': 2, 'Linear, BN, ReLU': 2, 'Linear': 2},
            ['SimCLR, 1 operation', 'projector cell, out channels 64'],
        ),
    }[name]
    assert {text: texts.count(text) for text in boxes} == boxes
    assert set(titles) <= set(texts)
    # The output layer is in the cell.
    assert 'output\nlayer' not in texts


def test_collisions_are_seen():
    figure = genotype_figure(CASES['SimSiam'])
    figure.text(0.5, 0.999, 'too high')
    figure.texts[-1].set_size(40)
    assert ('too high',) in collisions(figure)
    figure = genotype_figure(CASES['SimSiam'])
    axis = figure.axes[0]
    place = next(text.get_position() for text in axis.texts if text.get_text() == 'backbone')
    axis.text(*place, 'on top')
    assert ('on top', 'backbone') in collisions(figure)


def test_every_layer_tells_operations_widths_and_weights(case):
    texts = [text for text, _ in visible_texts(genotype_figure(case))]
    layers = all_layers(case)
    # The legend names what was chosen and nothing else.
    for op in {*options_of(case), *(op for layer in layers for op in (*layer.weights, *layer.ops))}:
        chosen = sum(layer.names.count(op) for layer in layers)
        names_of_ties = sum(layer.tied == (op,) for layer in layers)
        assert texts.count(readable(op)) == bool(chosen) + chosen + names_of_ties
    # A box says what was chosen, and below it what that is at its widths, if it is something else.
    others = [' + '.join(map(readable, n.ops)) for n in layers if n.names != n.ops]
    assert sorted(t for t in texts if t.startswith('here ')) == sorted(f'here {o}' for o in others)
    shapes = [layer.shape for layer in layers if layer.shape]
    widths = [f'width {shape.in_channels} → {shape.out_channels}' for shape in shapes]
    assert all(texts.count(width) >= widths.count(width) for width in widths)
    numbers = [f'{layer.weights[op]:.2f}' for layer in layers if layer.weights for op in layer.ops]
    assert sorted(text for text in texts if text[:2] in ('0.', '1.')) == sorted(numbers)
    assert texts.count('+') == sum(len(layer.ops) == 2 for layer in layers)
    assert texts.count('output, no BN') == sum(s.is_output for s in shapes)
    assert sum(text.startswith('tied with') for text in texts) == sum(
        bool(layer.tied) for layer in layers
    )


def test_length_of_the_bars_is_the_weight():
    case = CASES['SimSiam']
    figure = genotype_figure(case)
    bars = [
        patch
        for patch in figure.axes[0].patches
        if type(patch) is Rectangle and patch.get_height() == 0.07
    ]
    layers = all_layers(case)
    told = [bars[n + 1].get_width() / bars[n].get_width() for n in range(0, len(bars), 2)]
    assert told == pytest.approx([max(layer.weights.values()) for layer in layers])
    # A tick stands at the weight of chance.
    ticks = [line.get_xdata()[0] for line in figure.axes[0].lines]
    chance = [(x - bars[2 * n].get_x()) / bars[2 * n].get_width() for n, x in enumerate(ticks)]
    assert chance == pytest.approx([1 / len(layer.weights) for layer in layers])
    colors = op_colors(options_of(case))
    assert bars[1].get_facecolor()[:3] == pytest.approx(
        [int(colors[layers[0].names[0]][i : i + 2], 16) / 255 for i in (1, 3, 5)]
    )


@pytest.mark.parametrize(
    ('name', 'flow'),
    [
        ('SimSiam', ['image', 'backbone', 'projector cell', 'output\nlayer', 'z']),
        ('SimCLR', ['image', 'backbone', 'projector cell', 'z']),
        ('predictor alone', ['image', 'backbone', 'projector', 'z']),
    ],
)
def test_flow_runs_from_left_to_right(name, flow):
    place = dict(reversed(visible_texts(genotype_figure(CASES[name]))))
    centres = [place[step].x0 for step in flow]
    assert centres == sorted(centres)
    assert ('predictor cell' in place) == ('p' in place) == ('predictor' in CASES[name].heads)
    if 'p' in place:
        assert place['predictor cell'].x0 < place['p'].x0
        assert ('projector cell' in place) == (place['p'].y1 < place['z'].y0)


def test_parts_of_a_layer():
    scores = (1.0, 1.0, 0.0, None)
    decisions = {'predictor.0.op': Decision(SPACES['S'], ('linear_bn_relu',), scores)}
    bare = layers_of(Genotype('BYOL', decisions), 'predictor')[0]
    assert (bare.shape, bare.ops, bare.tied) == (None, ('linear_bn_relu',), ('max_pool_3_bn',))
    told = {'decided_at': {'predictor': [[8, 4, True]]}}
    layer = layers_of(Genotype('BYOL', decisions, told), 'predictor')[0]
    # At its widths it is the linear map, and is called so.
    assert (layer.shape, layer.ops, layer.tied) == ((8, 4, True), ('linear',), ('max_pool_3_bn',))
    assert layer.taken == ('linear_bn_relu',) and bare.taken == bare.ops
    assert notes(2, layer)[:4] == ['layer 2', 'width 8 → 4', 'output, no BN', 'here Linear']
    assert list(layer.weights) == ['linear', 'max_pool_3_bn', 'avg_pool_3_bn']
    assert list(layer.weights.values()) == pytest.approx([0.4223188, 0.4223188, 0.1553624])


@pytest.mark.parametrize(
    ('op', 'told'),
    [
        ('linear_bn_relu', 'Linear, BN, ReLU'),
        ('max_pool_3_bn', 'Max pool 3, BN'),
        ('identity', 'Identity'),
        ('linear_bn_no_affine', 'Linear, BN without affine'),
        ('linear_ln_tanh', 'Linear, LN, Tanh'),
        ('linear_of_mine', 'linear_of_mine'),
        ('bn_', 'bn_'),
        ('', ''),
    ],
)
def test_names_of_operations_are_written_for_people(op, told):
    assert readable(op) == told


def test_every_operation_of_the_spaces_is_readable():
    for op in {op for space in SPACES.values() for op in space}:
        assert '_' not in readable(op) and readable(op)[0].isupper()


def test_identity_is_not_hidden_behind_the_linear_map_that_it_is():
    decisions = {'projector.0.op': Decision(SPACES['S'], ('identity',))}
    told = {'decided_at': shape_rows({'projector': layer_shapes(64, [512])})}
    figure = genotype_figure(Genotype('SimCLR', decisions, told))
    texts = [text for text, _ in visible_texts(figure)]
    assert texts.count('Identity') == 2 and texts.count('here Linear') == 1
    assert 'width 64 → 512' in texts and collisions(figure) == []


def test_the_number_chance_and_noise_are_explained():
    case = CASES['SimCLR']
    texts = [text for text, _ in visible_texts(genotype_figure(case))]
    explained = 'number and bar: mixing weight at the end, tick: chance, 1 / 4 = 0.25'
    assert texts.count(explained) == 1 and 'within noise' not in texts
    # The last layer of a predictor has fewer candidates.
    texts = [text for text, _ in visible_texts(genotype_figure(CASES['SimSiam']))]
    assert 'number and bar: mixing weight at the end, tick: chance, 1 / K' in texts
    told = {**case.provenance, 'undecided': ['projector.1.op', 'projector.4.op', 3, None]}
    figure = genotype_figure(replace(case, provenance=told))
    places = [box.x0 for text, box in visible_texts(figure) if text == 'within noise']
    layers = {text: box.x0 for text, box in visible_texts(figure) if text.startswith('layer ')}
    assert len(places) == 2 and collisions(figure) == []
    nearest = [min(layers, key=lambda name: abs(layers[name] - x)) for x in places]
    assert nearest == ['layer 1', 'layer 4']
    # Nothing was searched: there is no number to explain.
    texts = [text for text, _ in visible_texts(genotype_figure(CASES['random']))]
    assert not [text for text in texts if 'chance' in text]


def test_titles():
    def titles(name):
        return [text for text, _ in visible_texts(genotype_figure(CASES[name]))][:2]

    assert titles('SimSiam') == [
        'SimSiam, space S',
        'dataset CIFAR-10, epoch 50, seed 0, config configs/nasiam/simsiam_r18_search_cifar10.py',
    ]
    assert titles('random')[1] == 'no provenance recorded'
    assert titles('two operations a layer')[0] == 'SimSiam, space S+, two operations a layer'


def test_own_operation_with_a_long_name_and_dollars():
    name = 'MY_WIDE_$OPERATION$_WITH_A_LONG_NAME'
    CANDIDATE_OPS.register_module(
        name=name,
        module=lambda i, o, is_output=False: nn.Sequential(nn.Linear(i, o), nn.Tanh()),
    )
    try:
        options = (*SPACES['S'], name)
        rows = zip((name, name, options[0]), torch.eye(5)[[4, 4, 0]].tolist(), strict=True)
        decisions = {
            f'projector.{n}.op': Decision(options, (op,), tuple(scores))
            for n, (op, scores) in enumerate(rows)
        }
        told = {'decided_at': shape_rows({'projector': PROJECTOR[:3]})}
        figure = genotype_figure(Genotype('$', decisions, told))
    finally:
        CANDIDATE_OPS.module_dict.pop(name)
    assert collisions(figure) == []
    assert [text for text, _ in visible_texts(figure)].count(name) == 3
    boxes = [p for p in figure.axes[0].patches if type(p) is Rectangle and p.get_height() > 0.4]
    widest = dict(visible_texts(figure))[name].width / figure.dpi
    assert max(box.get_width() for box in boxes) > widest


@pytest.mark.parametrize(('suffix', 'start'), [('.png', b'\x89PNG'), ('.svg', b'<?xml')])
def test_written_by_suffix(tmp_path, suffix, start):
    draw_genotype(CASES['SimSiam'], tmp_path / f'genotype{suffix}')
    assert [file.name for file in tmp_path.iterdir()] == [f'genotype{suffix}']
    assert (tmp_path / f'genotype{suffix}').read_bytes().startswith(start)
    with pytest.raises(ValueError, match=r'must end in .png or .svg'):
        draw_genotype(CASES['SimSiam'], tmp_path / 'genotype.pdf')


def run_tool(monkeypatch, *arguments):
    monkeypatch.setattr(sys, 'argv', [str(TOOL), *map(str, arguments)])
    runpy.run_path(str(TOOL), run_name='__main__')


def test_tool(tmp_path, monkeypatch, capsys):
    path = tmp_path / 'genotype.json'
    save_genotype(CASES['SimSiam'], path)
    run_tool(monkeypatch, path)
    run_tool(monkeypatch, path, '--out', tmp_path / 'b.svg')
    assert {file.name for file in tmp_path.iterdir()} == {
        'genotype.json',
        'genotype.png',
        'b.svg',
    }
    path.write_text('{')
    with pytest.raises(SystemExit) as caught:
        run_tool(monkeypatch, path, '--out', tmp_path / 'c.png')
    assert caught.value.code == 2 and not (tmp_path / 'c.png').exists()
    assert capsys.readouterr().err.startswith(f"error: genotype '{path}', line 1: is not JSON")
