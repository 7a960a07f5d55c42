# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Spaces of backbones: what they decide, what a genotype makes of them, what is refused."""

import itertools
import json

import pytest
import torch
from mmengine.config import Config

from nasiam_mm.architecture.genotype import GenotypeError, random_genotype, save_genotype
from nasiam_mm.architecture.points import genotype_at
from nasiam_mm.architecture.reading import load_genotype, read_genotype
from nasiam_mm.models.backbones.decided import inline
from nasiam_mm.models.backbones.handing import backbone_choices
from nasiam_mm.models.spaces import choices_of_model
from nasiam_mm.registry import MODELS
from tests.backbones import CELLS, MIXED, MOBILENET, RESNET, simclr
from tests.reduced import ROOT

FREE = {
    'resnet': dict(type='ChoiceResNet', space=RESNET, base_channels=8, stem_channels=8),
    'mobilenet': dict(type='ChoiceMobileNet', space=MOBILENET, channels=(8, 8, 16, 24)),
    'cells': dict(type='ChoiceCells', space=CELLS, blocks=(1, 1, 1), base_channels=8, nodes=2),
}
every = pytest.mark.parametrize('kind', FREE)


def count(choices):
    number = 1
    for choice in itertools.chain(*choices.values()):
        number *= sum(choice.present)
    return number


@pytest.mark.parametrize(('name', 'number'), [('resnet', 216), ('mobilenet', 8000)])
def test_the_shipped_spaces_are_of_the_size_that_their_files_say(name, number):
    path = ROOT / f'configs/backbones/simclr_{name}_pretrain_cifar10_demo.py'
    assert count(choices_of_model(Config.fromfile(path).model)) == number
    assert f'{number:,}' in (ROOT / f'configs/_base_/spaces/{name}.py').read_text()


def test_names_of_choices_and_where_an_identity_stands():
    named = [choice.name for choice in backbone_choices(FREE['resnet'])['backbone']]
    stages = [f'backbone.{stage}.blocks' for stage in range(3)]
    assert named == [*stages, 'backbone.block', 'backbone.kernel', 'backbone.width']
    rows = backbone_choices(FREE['mobilenet'])['backbone']
    # The first block of the first stage keeps width and stride here.
    assert [row.identity for row in rows] == [4, 4, None, 4, None, 4]
    assert {len(row) for row in backbone_choices(FREE['cells']).values()} == {5}


@every
@pytest.mark.parametrize('seed', range(4))
def test_a_drawn_genotype_goes_through_its_file_and_builds_one_net(kind, seed, tmp_path):
    genotype = random_genotype('SimCLR', backbone_choices(FREE[kind]), seed)
    save_genotype(genotype, tmp_path / 'one.json')
    assert load_genotype(tmp_path / 'one.json') == genotype
    fixed = {**FREE[kind], 'space': None}
    nets = [
        MODELS.build({**part, 'genotype': given, 'out_indices': (0, 1, 2)}).eval()
        for part in (FREE[kind], fixed)
        for given in (genotype, str(tmp_path / 'one.json'), inline(genotype))
    ]
    images = torch.randn(2, 3, 16, 16)
    for net in nets:
        net.load_state_dict(nets[0].state_dict())
        maps = net(images)
        assert [m.shape[2] for m in maps] == [16, 8, 4]
        assert maps[-1].shape[1] == net.out_channels
        assert all(map(torch.equal, maps, nets[0](images)))


def test_what_is_decided_of_a_resnet_is_what_is_built():
    choices = backbone_choices(FREE['resnet'])
    options = {
        **{'backbone.0.blocks': 1, 'backbone.1.blocks': 3, 'backbone.2.blocks': 2},
        **{'backbone.block': 'bottleneck', 'backbone.kernel': 5, 'backbone.width': 0.5},
    }
    net = MODELS.build({**FREE['resnet'], 'genotype': genotype_at('SimCLR', choices, options)})
    kinds = [next(iter(layer)) for layer in net.blocks.layers]
    assert kinds == ['bottleneck_5'] * 6
    middles = [layer['bottleneck_5'].conv2.weight.shape for layer in net.blocks.layers]
    # Half of 8, 16, 32, of 8 at least.
    assert middles == [(8, 8, 5, 5)] * 4 + [(16, 16, 5, 5)] * 2
    assert net.out_channels == 64


def test_the_neck_follows_the_width_that_was_decided():
    genotype = {'backbone.block': 'bottleneck', 'backbone.width': 2}
    model = simclr(dict(type='ChoiceResNet', base_channels=8, genotype=genotype))
    assert model.neck.fc0.in_features == 4 * 2 * 32


def test_a_genotype_of_head_and_backbone_goes_to_both(tmp_path):
    config = dict(
        type='SimCLR',
        space=dict(depth=[2, 3], width_ratio=[1, 2]),
        backbone=FREE['resnet'],
        neck=dict(type='HeadMLP', name='projector', in_channels=1, hidden_channels=16),
        head=dict(type='ContrastiveHead', loss=dict(type='CrossEntropyLoss'), temperature=0.2),
    )
    choices = choices_of_model(config)
    assert list(choices) == ['backbone', 'projector']
    genotype = random_genotype('SimCLR', choices, 3)
    save_genotype(genotype, tmp_path / 'both.json')
    model = MODELS.build({**config, 'genotype': str(tmp_path / 'both.json')})
    blocks = genotype.stages('backbone')['blocks']
    assert model.backbone.plan.blocks == tuple(blocks[n] for n in range(3))
    assert model.neck.in_channels == model.backbone.out_channels
    assert model.architecture is None


def test_nothing_decided_is_the_net_of_the_arguments():
    net = MODELS.build(dict(type='ChoiceResNet', blocks=(1, 2, 1), block='bottleneck', kernel=5))
    assert [next(iter(layer)) for layer in net.blocks.layers] == ['bottleneck_5'] * 4
    assert not net.is_searched and net.plan == net.recipe


@every
def test_first_weights_are_of_seed_and_backbone_alone(kind):
    states = []
    for draws in (0, 3):
        torch.manual_seed(5)
        torch.randn(draws)
        states.append(MODELS.build({**FREE[kind], 'space': None}).state_dict())
    assert all(map(torch.equal, states[0].values(), states[1].values()))


@pytest.mark.parametrize('kind', MIXED)
def test_frozen_stages_neither_learn_nor_move(kind):
    net = MODELS.build({**MIXED[kind], 'space': None, 'frozen_stages': 1}).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    net(torch.randn(4, 3, 16, 16))[0].sum().backward()
    frozen = {id(p) for stage in (-1, 0) for m in net.parts_of_stage(stage) for p in m.parameters()}
    assert frozen and {id(p) for p in net.parameters() if p.grad is None} == frozen
    moved = {name for name, value in net.state_dict().items() if not value.equal(before[name])}
    stage = net.parts_of_stage(0)[0]
    first = next(name for name, module in net.named_modules() if module is stage)
    assert moved and not any(name.startswith(('stem.', f'{first}.')) for name in moved)


def test_batch_norm_keeps_its_statistics_where_that_is_asked():
    net = MODELS.build(dict(type='ChoiceResNet', norm_eval=True)).train()
    assert net.training and not any(
        m.training for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)
    )


REFUSED = [
    (dict(space=dict(width=[0.5, 1])), 'backbone.width has 2 options, which no mixing by alpha'),
    (dict(space=dict(blocks=[1, 2])), 'backbone.0.blocks has 2 options, which no mixing by alpha'),
    (dict(space=dict(blocks=[2], width=[1])), 'leaves no operation to search; add op='),
    (dict(space=dict(op=['basic_3'], kernel=[3])), 'backbone.kernel decides nothing: operations'),
    (
        dict(space=dict(op=['basic_3'], blocks=[1, 2])),
        'nobody says how many layers have operations',
    ),
    (dict(space=dict(depth=[1])), 'space.backbone.depth: is no choice of the backbone'),
    (dict(space=['linear_bn_relu']), "operation 'linear_bn_relu' is one of vectors"),
    (dict(out_indices=(3,)), 'out_indices are stages from 0 to 2, got'),
    (dict(genotype={'backbone.3.blocks': 1}), 'backbone.3.blocks decides nothing: there are 3'),
    (dict(genotype={'backbone.kernel': 7}), 'the genotype, backbone.kernel: must be 3 or 5, got 7'),
    (dict(genotype={'projector.depth': 2}), 'decides nothing of the backbone, only'),
    (dict(genotype={'backbone.0.op': 'basic_3'}), 'decides 1 layers of the backbone, the recipe'),
    (dict(space=RESNET, genotype={'backbone.kernel': 3}), 'leaves backbone.0.blocks open'),
    (
        dict(blocks=(1,), genotype={'backbone.0.op': 'factorized_reduce'}),
        "none of ['factorized_reduce'] fits a layer of 16 to 16 channels, stride 1",
    ),
]


@pytest.mark.parametrize(('settings', 'message'), REFUSED, ids=[m[:30] for _, m in REFUSED])
def test_what_cannot_be_is_refused_in_one_line(settings, message):
    with pytest.raises(ValueError) as error:
        MODELS.build(dict(type='ChoiceResNet', **settings))
    assert message in str(error.value) and '\n' not in str(error.value)


def test_a_genotype_of_another_backbone_is_refused():
    genotype = random_genotype('SimCLR', backbone_choices(FREE['cells']), 0)
    with pytest.raises(GenotypeError, match=r'decides of the normal, which a ResNet_CIFAR has not'):
        simclr(dict(type='ResNet_CIFAR', depth=18), genotype=genotype)
    with pytest.raises(GenotypeError, match=r'normal, which a ChoiceResNet has not'):
        simclr(FREE['resnet'], genotype=genotype)


def test_a_genotype_of_another_space_is_refused_by_its_file(tmp_path):
    path = tmp_path / 'resnet.json'
    save_genotype(random_genotype('SimCLR', backbone_choices(FREE['resnet']), 0), path)
    lost = r"genotype '.*resnet.json' decides backbone.0.blocks, which the space does not have; it"
    with pytest.raises(GenotypeError, match=lost + ' has backbone.0.op, .*backbone.2.op') as error:
        MODELS.build({**FREE['mobilenet'], 'genotype': str(path)})
    assert '\n' not in str(error.value)


def test_a_space_of_heads_does_not_take_what_backbones_decide():
    with pytest.raises(ValueError, match=r'space.backbone: what a backbone decides stands in'):
        simclr('mobilenet', space=dict(backbone=dict(width=[1])))


@pytest.mark.parametrize(
    ('name', 'decision', 'message'),
    [
        ('projector.0.blocks', [1], 'the backbone alone has it'),
        ('backbone.depth', [1], 'a head alone has it'),
        ('backbone.0.blocks', [0], 'must be a whole number from 1 to 64'),
        ('backbone.width', ['wide'], 'must be a number above 0'),
        ('backbone.blocks', [1], 'is no name of a choice'),
    ],
)
def test_a_file_is_read_with_the_same_checks(name, decision, message):
    decided = {name: {'options': decision, 'chosen': decision}}
    text = json.dumps({'schema_version': 2, 'framework': 'SimCLR', 'decisions': decided})
    with pytest.raises(GenotypeError, match=message):
        read_genotype(text)


def test_shapes_that_were_told_are_checked():
    choices = backbone_choices(FREE['mobilenet'])
    genotype = random_genotype('SimCLR', choices, 0)
    rows = [[8, 8, 1, 32]] * 2 + [[8, 16, 2, 32], [16, 16, 1, 16], [16, 24, 2, 16], [24, 24, 1, 8]]

    def read(rows):
        told = {'decided_at': {'backbone': rows}}
        decided = {
            name: {'options': d.options, 'chosen': d.chosen}
            for name, d in genotype.decisions.items()
        }
        whole = {'schema_version': 2, 'framework': 'SimCLR', 'decisions': decided}
        return read_genotype(json.dumps({**whole, 'provenance': told}))

    assert [list(shape) for shape in read(rows).decided_at('backbone')] == rows
    with pytest.raises(GenotypeError, match=r'must be \[in, out, stride, size\]'):
        read([[8, 8, 1, '32'], *rows[1:]])
    with pytest.raises(GenotypeError, match=r'takes 9, but layer 0 gives 8'):
        read([rows[0], [9, 8, 1, 32], *rows[2:]])
