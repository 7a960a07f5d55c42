# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The authors' text form imports through validation and is never evaluated."""

import os

import pytest
import torch

from nasiam_mm.architecture.genotype import Decision, GenotypeError, save_genotype
from nasiam_mm.architecture.published import import_published
from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.models.heads import HeadMLP
from nasiam_mm.ops.candidates import SPACES, layer_shapes
from tests.reduced import ROOT

SIMSIAM = (
    "Genotype(encoder=[['linear_relu'], ['linear_silu'], ['linear_elu'], ['identity'], "
    "['identity'], ['linear_relu']], predictor=[['linear_hardswish'], ['avgpool_3x3'], "
    "['avgpool_3x3'], ['linear_hardswish']])"
)
MOCO = "Genotype(encoder=[['avgpool_3x3'], ['identity'], ['identity']])"
SIMCLR = (
    "Genotype(predictor=[['linear_hardswish'], ['linear_hardswish'], ['avgpool_3x3'], "
    "['linear_relu'], ['linear_relu'], ['linear_relu']])"
)
# The files of the authors' repository, github.com/aheuillet/NASiam at e3a1a4c.
SHIPPED = {
    'mocov2_r18_cifar10': (
        'MoCo',
        'dfba2ec, MoCo/genotypes/cifar10_resnet18.txt',
        "Genotype(encoder=[['avgpool_3x3'], ['avgpool_3x3'], ['avgpool_3x3'], ['avgpool_3x3']])",
    ),
    'mocov2_r18_cifar100': (
        'MoCo',
        '19a3c9b, MoCo/genotypes/cifar100_resnet18.txt',
        "Genotype(encoder=[['avgpool_3x3'], ['avgpool_3x3'], ['avgpool_3x3'], ['avgpool_3x3']])",
    ),
    'mocov2_r50_cifar10': (
        'MoCo',
        '19a3c9b, MoCo/genotypes/cifar10_resnet50.txt',
        "Genotype(encoder=[['identity'], ['avgpool_3x3'], ['avgpool_3x3'], ['avgpool_3x3']])",
    ),
    'simclr_r50_cifar10': ('SimCLR', '19a3c9b, SimCLR/genotypes/cifar10_resnet50.txt', SIMCLR),
    'simsiam_r18_cifar10': ('SimSiam', '19a3c9b, SimSiam/genotypes/cifar10_resnet18.txt', SIMSIAM),
    'simsiam_r50_cifar10': (
        'SimSiam',
        '19a3c9b, SimSiam/genotypes/cifar10_resnet50.txt',
        "Genotype(encoder=[['linear_silu'], ['linear_hardswish'], ['linear_hardswish'], "
        "['linear_hardswish'], ['linear_silu'], ['linear_silu']], predictor=[['linear_hardswish'], "
        "['linear_hardswish'], ['avgpool_3x3'], ['linear_silu']])",
    ),
    'simsiam_r50_cifar100': (
        'SimSiam',
        '470c75a, SimSiam/genotypes/cifar100_resnet50.txt',
        "Genotype(encoder=[['identity'], ['linear_silu'], ['linear_silu'], ['linear_elu'], "
        "['linear_silu'], ['linear_elu']], predictor=[['linear_elu'], ['linear_elu'], "
        "['linear_elu'], ['linear_hardswish']])",
    ),
}


def shapes_of(name, framework):
    """Widths of the published heads for the backbone that a file's name tells."""
    width = 2048 if '_r50_' in name else 512
    if framework == 'SimCLR':
        return {'projector': layer_shapes(width, [512] * 5 + [128])}
    if framework == 'MoCo':
        return {'projector': layer_shapes(width, [width] * 4)}
    return {
        'projector': layer_shapes(width, [width] * 6),
        'predictor': layer_shapes(2048, [512] * 3 + [2048], plain_output=True),
    }


@pytest.mark.parametrize(('name', 'published'), SHIPPED.items(), ids=SHIPPED)
def test_shipped_files_are_those_of_the_authors(name, published):
    framework, where, text = published
    genotype = load_genotype(ROOT / f'genotypes/published/{name}.json')
    expected = import_published(text, framework, f'github.com/aheuillet/NASiam at {where}')
    assert (genotype.framework, genotype.decisions) == (framework, expected.decisions)
    shapes = shapes_of(name, framework)
    told = dict(genotype.provenance)
    assert told.pop('decided_at') == {
        head: [list(shape) for shape in rows] for head, rows in shapes.items()
    }
    assert told == expected.provenance
    assert {head: genotype.decided_at(head) for head in genotype.heads} == shapes


def test_all_are_shipped_and_no_other():
    names = {path.name for path in (ROOT / 'genotypes/published').iterdir()}
    assert names == {f'{name}.json' for name in SHIPPED}


def test_the_moco_head_of_resnet_18_is_the_corrected_one():
    genotype = load_genotype(ROOT / 'genotypes/published/mocov2_r18_cifar10.json')
    assert ops(genotype, 'projector') == ['avg_pool_3_bn'] * 4


def ops(genotype, head):
    assert all(len(decision.chosen) == 1 for decision in genotype.of(head))
    return [decision.chosen[0] for decision in genotype.of(head)]


def parameters(genotype, head, *widths, **others):
    with torch.device('meta'):
        built = HeadMLP(head, *widths, genotype=genotype, **others)
    return sum(p.numel() for p in built.parameters())


def test_simsiam():
    genotype = import_published(SIMSIAM, 'SimSiam')
    assert genotype.framework == 'SimSiam' and genotype.top_k == 1
    assert {decision.options for decision in genotype.decisions.values()} == {SPACES['S+']}
    assert ops(genotype, 'projector') == [
        'linear_bn_relu',
        'linear_bn_silu',
        'linear_bn_elu',
        'identity',
        'identity',
        'linear_bn_relu',
    ]
    assert ops(genotype, 'predictor') == [
        'linear_bn_hardswish',
        'avg_pool_3_bn',
        'avg_pool_3_bn',
        'linear_bn_hardswish',
    ]
    assert parameters(genotype, 'projector', 512, 512) == 4 * (512 * 512 + 2 * 512)
    # The last layer carries neither BatchNorm nor activation: the plain linear map.
    assert parameters(genotype, 'predictor', 2048, 512, 2048, plain_output=True) == (
        (2048 * 512 + 2 * 512) + 2 * (2 * 512) + (512 * 2048 + 2048)
    )


def test_moco():
    genotype = import_published(MOCO, 'MoCo')
    assert genotype.heads == ('projector',)
    assert ops(genotype, 'projector') == ['avg_pool_3_bn', 'identity', 'identity']
    assert parameters(genotype, 'projector', 512, 512) == 2 * 512


def test_simclr_head_stands_under_predictor_but_is_the_projector():
    genotype = import_published(SIMCLR, 'SimCLR')
    assert genotype.heads == ('projector',)
    assert ops(genotype, 'projector')[2:4] == ['avg_pool_3_bn', 'linear_bn_relu']
    assert parameters(genotype, 'projector', 2048, 512, 128) == (
        2048 * 512 + 3 * (512 * 512) + 512 * 128 + 2 * (5 * 512 + 128)
    )


TWO = (
    "Genotype(encoder=[['linear_relu', 'identity']], "
    "predictor=[['maxpool_3x3', 'identity'], ['linear_relu', 'identity']])"
)


@pytest.mark.parametrize(
    ('text', 'framework'),
    [(SIMSIAM, 'SimSiam'), (MOCO, 'MoCo'), (SIMCLR, 'SimCLR'), (TWO, 'SimSiam')],
)
def test_imports_pass_the_validation_of_files(tmp_path, text, framework):
    genotype = import_published(f'\n{text}\n', framework, source='a.txt')
    assert genotype.provenance == {'selection': 'published', 'imported_from': 'a.txt'}
    save_genotype(genotype, tmp_path / 'g.json')
    assert load_genotype(tmp_path / 'g.json') == genotype


def test_two_names_a_layer():
    genotype = import_published(TWO, 'SimSiam')
    assert genotype.top_k == 2
    assert genotype.decisions['predictor.0.op'] == Decision(
        SPACES['S+'], ('max_pool_3_bn', 'identity')
    )
    # Two names that are one linear map at the output become one operation there.
    with torch.device('meta'):
        head = HeadMLP('predictor', 8, 4, 8, genotype=genotype, plain_output=True)
    assert [list(layer) for layer in head.cell.layers] == [['max_pool_3_bn', 'linear'], ['linear']]


def test_one_name_twice_is_one_operation():
    genotype = import_published("Genotype(encoder=[['identity', 'identity']])", 'MoCo')
    assert ops(genotype, 'projector') == ['identity']


FORM = r'is not of the form Genotype\(encoder='
MALFORMED = {
    'empty': ('', FORM),
    'a list': ("[['identity']]", f'{FORM}.*no call of Genotype'),
    'another call': ("Cell(encoder=[['identity']])", f'{FORM}.*no call of Genotype'),
    'an attribute': ("os.Genotype(encoder=[['identity']])", f'{FORM}.*no call of Genotype'),
    'not named': ("Genotype([['identity']])", f'{FORM}.*heads must be named'),
    'two lines': (f'{MOCO}\n{MOCO}', FORM),
    'truncated': (MOCO[:-4], FORM),
    'named twice': (
        "Genotype(encoder=[['identity']], encoder=[['identity']])",
        'a head is named twice',
    ),
    'a null byte': ('Genotype(encoder=\0)', FORM),
    'no head': ('Genotype()', "'encoder' is missing, empty or not a list"),
    'empty head': ('Genotype(encoder=[])', "'encoder' is missing, empty or not a list"),
    'a string': ("Genotype(encoder='identity')", "'encoder' is missing, empty or not a list"),
    'a set': ('Genotype(encoder={[]})', FORM),
    'another head': (
        f"{MOCO[:-1]}, predictor=[['identity']])",
        "are not those of MoCo: .'encoder'",
    ),
    'two stars': (f"{MOCO[:-1]}, **{{'a': 1}})", 'are not those of MoCo'),
    'a bare name': ("Genotype(encoder=['identity'])", r'encoder\[0\] must be a list of one or two'),
    'no name': ("Genotype(encoder=[['identity'], []])", r'encoder\[1\] must be a list of one'),
    'three names': ("Genotype(encoder=[['identity'] * 3])", FORM),
    'a triple': (
        "Genotype(encoder=[['identity', 'identity', 'identity']])",
        r'encoder\[0\] must be a list of one or two',
    ),
    'unknown name': ("Genotype(encoder=[['conv_3x3']])", r"encoder\[0\] names 'conv_3x3'; known"),
    'our name': ("Genotype(encoder=[['linear_bn_relu']])", r'encoder\[0\] names .*; known are'),
    'a number': ('Genotype(encoder=[[1]])', r'encoder\[0\] names 1; known are'),
    'a list for a name': ("Genotype(encoder=[[['identity']]])", r'encoder\[0\] names \[.identity'),
    'brackets': (f'Genotype(encoder={"[" * 10**5})', FORM),
    'closed brackets': (f'Genotype(encoder={"[" * 150}{"]" * 150})', r'encoder\[0\] names \['),
    'signs': (f'Genotype(encoder={"-" * 10**5}1)', FORM),
    'a sum': (f'Genotype(encoder={"+".join("1" * 10**4)})', FORM),
    'digits': (f'Genotype(encoder=[[{"9" * 6000}]])', FORM),
}


@pytest.mark.parametrize(('text', 'message'), MALFORMED.values(), ids=MALFORMED)
def test_malformed_text(text, message):
    with pytest.raises(GenotypeError, match=message) as caught:
        import_published(text, 'MoCo', source='moco.txt')
    assert str(caught.value).startswith("published genotype 'moco.txt': ")
    assert '\n' not in str(caught.value) and ' at 0x' not in str(caught.value)


@pytest.mark.parametrize(
    ('framework', 'message'),
    [
        ('BYOL', r"framework must be one of \['MoCo', 'SimCLR', 'SimSiam'\], got 'BYOL'"),
        (['MoCo'], 'framework must be one of '),
        ('SimSiam', "'predictor' is missing, empty or not a list"),
        ('SimCLR', "'predictor' is missing, empty or not a list"),
    ],
)
def test_other_frameworks(framework, message):
    with pytest.raises(GenotypeError, match=message):
        import_published(MOCO, framework)


@pytest.mark.parametrize(
    'hostile',
    [
        '{}',
        'Genotype(encoder={})',
        "Genotype(encoder=[['identity'], {}])",
        "Genotype(encoder=[['identity', {}]])",
        "Genotype(encoder=[['identity'] for _ in [{}]])",
        "Genotype(encoder=[['identity']], predictor=[[f'{{{}}}']])",
        "Genotype(encoder=[['identity']])({})",
        'Genotype(encoder=(lambda: {})())',
    ],
)
def test_nothing_is_executed(tmp_path, monkeypatch, hostile):
    called = []
    monkeypatch.setattr(os, 'system', called.append)
    marker = tmp_path / 'executed'
    text = hostile.format(f'__import__("os").system("touch {marker}")')
    for framework in ('MoCo', 'SimSiam', 'SimCLR'):
        with pytest.raises(GenotypeError):
            import_published(text, framework)
    assert not called and not marker.exists()
