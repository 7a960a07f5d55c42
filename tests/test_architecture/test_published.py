# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The authors' text form imports through validation and is never evaluated."""

import os
import runpy
import sys
from pathlib import Path

import pytest

from nasiam_mm.architecture.genotype import GenotypeError, save_genotype
from nasiam_mm.architecture.published import import_published
from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.models.choice.cell import GenotypeCell
from nasiam_mm.ops.candidates import SPACES

TOOL = Path(__file__).parents[2] / 'tools/model_converters/import_published_genotype.py'
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


def ops(genotype, cell):
    return [list(names) for names in genotype.cells[cell].ops]


def widths(genotype, cell):
    layers = genotype.cells[cell].layers
    return [layers[0].in_channels, *(layer.out_channels for layer in layers)]


def parameters(genotype, cell):
    built = GenotypeCell(genotype.cells[cell].shapes, genotype.cells[cell].ops)
    return sum(p.numel() for p in built.parameters())


def test_simsiam():
    genotype = import_published(SIMSIAM, 'SimSiam', 512)
    assert genotype.framework == 'SimSiam' and genotype.space == SPACES['S+']
    assert not genotype.edge
    assert ops(genotype, 'projector') == [
        ['linear_bn_relu'],
        ['linear_bn_silu'],
        ['linear_bn_elu'],
        ['identity'],
        ['identity'],
        ['linear_bn_relu'],
    ]
    # The last layer carries neither BatchNorm nor activation: the plain linear map.
    assert ops(genotype, 'predictor') == [
        ['linear_bn_hardswish'],
        ['avg_pool_3_bn'],
        ['avg_pool_3_bn'],
        ['linear'],
    ]
    assert widths(genotype, 'projector') == [512] * 7
    assert widths(genotype, 'predictor') == [2048, 512, 512, 512, 2048]
    outputs = [layer.is_output for cell in genotype.cells.values() for layer in cell.layers]
    assert outputs == [False] * 9 + [True]
    assert parameters(genotype, 'projector') == 4 * (512 * 512 + 2 * 512)
    assert parameters(genotype, 'predictor') == (
        (2048 * 512 + 2 * 512) + 2 * (2 * 512) + (512 * 2048 + 2048)
    )


def test_moco():
    genotype = import_published(MOCO, 'MoCo', 512)
    assert list(genotype.cells) == ['projector']
    assert ops(genotype, 'projector') == [['avg_pool_3_bn'], ['identity'], ['identity']]
    assert widths(genotype, 'projector') == [512] * 4
    assert parameters(genotype, 'projector') == 2 * 512


def test_simclr_cell_stands_under_predictor_but_is_the_projector():
    genotype = import_published(SIMCLR, 'SimCLR', 2048)
    assert list(genotype.cells) == ['projector']
    assert widths(genotype, 'projector') == [2048, 512, 512, 512, 512, 512, 128]
    assert ops(genotype, 'projector')[2:4] == [['avg_pool_3_bn'], ['linear_bn_relu']]
    assert not any(layer.is_output for layer in genotype.cells['projector'].layers)
    assert parameters(genotype, 'projector') == (
        2048 * 512 + 3 * (512 * 512) + 512 * 128 + 2 * (5 * 512 + 128)
    )


@pytest.mark.parametrize(
    ('text', 'framework', 'width'),
    [
        (SIMSIAM, 'SimSiam', 512),
        (SIMSIAM, 'SimSiam', 2048),
        (MOCO, 'MoCo', 512),
        (SIMCLR, 'SimCLR', 2048),
        # Two names that are one linear map at the output become one operation.
        (
            "Genotype(encoder=[['linear_relu', 'identity']], "
            "predictor=[['maxpool_3x3', 'identity'], ['linear_relu', 'identity']])",
            'SimSiam',
            512,
        ),
    ],
)
def test_imports_pass_the_validation_of_files(tmp_path, text, framework, width):
    genotype = import_published(f'\n{text}\n', framework, width, source='a.txt')
    assert genotype.provenance == {'imported_from': 'a.txt'}
    save_genotype(genotype, tmp_path / 'g.json')
    assert load_genotype(tmp_path / 'g.json') == genotype


def test_two_names_a_layer_are_edge():
    genotype = import_published(
        "Genotype(encoder=[['linear_relu', 'identity'], ['maxpool_3x3', 'linear_silu']])",
        'MoCo',
        64,
    )
    assert genotype.edge
    assert ops(genotype, 'projector') == [
        ['linear_bn_relu', 'identity'],
        ['max_pool_3_bn', 'linear_bn_silu'],
    ]


FORM = r'is not of the form Genotype\(encoder='
MALFORMED = {
    'empty': ('', FORM),
    'a list': ("[['identity']]", f'{FORM}.*no call of Genotype'),
    'another call': ("Cell(encoder=[['identity']])", f'{FORM}.*no call of Genotype'),
    'an attribute': ("os.Genotype(encoder=[['identity']])", f'{FORM}.*no call of Genotype'),
    'not named': ("Genotype([['identity']])", f'{FORM}.*cells must be named'),
    'two lines': (f'{MOCO}\n{MOCO}', FORM),
    'truncated': (MOCO[:-4], FORM),
    'named twice': (
        "Genotype(encoder=[['identity']], encoder=[['identity']])",
        'a cell is named twice',
    ),
    'a null byte': ('Genotype(encoder=\0)', FORM),
    'no cell': ('Genotype()', "'encoder' is missing, empty or not a list"),
    'empty cell': ('Genotype(encoder=[])', "'encoder' is missing, empty or not a list"),
    'a string': ("Genotype(encoder='identity')", "'encoder' is missing, empty or not a list"),
    'a set': ('Genotype(encoder={[]})', FORM),
    'another cell': (
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
        import_published(text, 'MoCo', 512, source='moco.txt')
    assert str(caught.value).startswith("published genotype 'moco.txt': ")
    assert '\n' not in str(caught.value) and ' at 0x' not in str(caught.value)


@pytest.mark.parametrize(
    ('framework', 'width', 'message'),
    [
        ('BYOL', 512, r"framework must be one of \['MoCo', 'SimCLR', 'SimSiam'\], got 'BYOL'"),
        (['MoCo'], 512, 'framework must be one of '),
        ('MoCo', 0, 'width must be an integer from 1 to 1048576, got 0'),
        ('MoCo', '512', "width must be an integer from 1 to 1048576, got '512'"),
        ('MoCo', 10**30, 'width must be an integer from 1 to 1048576, got 1000'),
        ('SimSiam', 512, "'predictor' is missing, empty or not a list"),
        ('SimCLR', 512, "'predictor' is missing, empty or not a list"),
    ],
)
def test_other_arguments(framework, width, message):
    with pytest.raises(GenotypeError, match=message):
        import_published(MOCO, framework, width)


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
            import_published(text, framework, 512)
    assert not called and not marker.exists()


def run_tool(monkeypatch, *arguments):
    monkeypatch.setattr(sys, 'argv', [str(TOOL), *map(str, arguments)])
    runpy.run_path(str(TOOL), run_name='__main__')


def test_tool_converts(tmp_path, monkeypatch, capsys):
    (tmp_path / 'simsiam.txt').write_text(SIMSIAM)
    out = tmp_path / 'genotypes' / 'simsiam.json'
    run_tool(
        monkeypatch, tmp_path / 'simsiam.txt', '--framework', 'SimSiam', '--width', 512,
        '--out', out,
    )  # fmt: skip
    assert load_genotype(out) == import_published(SIMSIAM, 'SimSiam', 512, 'simsiam.txt')
    assert 'predictor: linear_bn_hardswish avg_pool_3_bn avg_pool_3_bn linear' in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (None, 'No such file or directory'),
        (b'\xff\xfe', 'is not text'),
        (b"Genotype(encoder=[['conv']])", "encoder[0] names 'conv'"),
    ],
)
def test_tool_refuses_in_one_line(tmp_path, monkeypatch, capsys, content, message):
    if content:
        (tmp_path / 'moco.txt').write_bytes(content)
    out = tmp_path / 'moco.json'
    with pytest.raises(SystemExit) as caught:
        run_tool(
            monkeypatch, tmp_path / 'moco.txt', '--framework', 'MoCo', '--width', 512, '--out', out
        )
    assert caught.value.code == 2 and not out.exists()
    error = capsys.readouterr().err
    assert message in error and error.count('\n') == 1
