# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""``nasiam genotype``: draws the honest baseline, and imports the authors' text form."""

import sys

import pytest

from nasiam_mm.architecture.genotype import Decision, Genotype, save_genotype
from nasiam_mm.architecture.published import import_published
from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.cli.ending import run_tool
from nasiam_mm.cli.main import run_command
from nasiam_mm.ops.candidates import CANDIDATE_OPS, SPACES
from nasiam_mm.search.edges import edges_kept
from tests.reduced import ROOT

MOCO = "Genotype(encoder=[['avgpool_3x3'], ['identity'], ['identity']])"
S = SPACES['S']


def draw(*arguments):
    run_command('genotype random', list(map(str, arguments)))


def take(*arguments):
    run_command('genotype import', list(map(str, arguments)))


def refused(capsys, command, *arguments):
    """Return the one line with which a command ends."""
    with pytest.raises(SystemExit) as caught:
        run_tool(lambda: command(*arguments))
    error = capsys.readouterr().err
    assert caught.value.code == 2 and error.count('\n') == 1
    return error


def chosen(genotype):
    return {head: [one.chosen for one in genotype.of(head)] for head in genotype.heads}


@pytest.fixture
def searched(tmp_path):
    decisions = {
        # Equal shapes in both heads, so that equal draws would show.
        f'{head}.{n}.op': Decision(S, (S[n % 3],), (0.5,) * 4)
        for head in ('projector', 'predictor')
        for n in range(12)
    }
    shapes = {head: [[8, 8, False]] * 12 for head in ('projector', 'predictor')}
    path = tmp_path / 'genotype.json'
    save_genotype(Genotype('BYOL', decisions, {'epoch': 50, 'decided_at': shapes}), path)
    return path


def test_same_space_and_depth_other_operations(searched, tmp_path, capsys):
    out = tmp_path / 'random' / '1.json'
    draw(searched, '--seed', 1, '--out', out)
    given, drawn = load_genotype(searched), load_genotype(out)
    assert drawn.framework == 'BYOL' and drawn.top_k == 1
    assert list(drawn.decisions) == list(given.decisions)
    assert all(one.options == S and not one.scores for one in drawn.decisions.values())
    assert chosen(drawn)['projector'] != chosen(given)['projector']
    # The heads are drawn independently, though their shapes are equal.
    assert chosen(drawn)['projector'] != chosen(drawn)['predictor']
    told = drawn.provenance
    assert (told['selection'], told['seed'], told['space_of']) == ('random', 1, 'genotype.json')
    assert drawn.decided_at('projector') == given.decided_at('projector')
    assert 'epoch' not in told
    printed = capsys.readouterr().out.splitlines()[-3:]
    first = ' '.join(name for (name,) in chosen(drawn)['projector'])
    assert printed[0] == f'projector: {first}' and printed[2] == f'wrote {out}'


def test_seeded(searched, tmp_path):
    for name, seed in (('a', 4), ('b', 4), ('c', 5)):
        draw(searched, '--seed', seed, '--out', tmp_path / f'{name}.json')
    a, b, c = (load_genotype(tmp_path / f'{name}.json') for name in 'abc')
    assert a == b
    assert len({tuple(layers) for one in (a, c) for layers in chosen(one).values()}) == 4


def test_same_draw_as_of_version_0_1(tmp_path):
    # A file of schema 1 and one that a run of version 0.1 drew from its like, seed 1.
    runs = ROOT / 'docs/results/heads_demo/runs'
    (given,) = runs.glob('simsiam_r18_search_cifar10_demo-search-seed0-*/genotype.json')
    (then,) = runs.glob('simsiam_r18_pretrain_cifar10_demo-random-1-seed0-*/genotype.json')
    seed = load_genotype(then).provenance['seed']
    draw(given, '--seed', seed, '--out', tmp_path / 'now.json')
    assert chosen(load_genotype(tmp_path / 'now.json')) == chosen(load_genotype(then))


@pytest.mark.parametrize('told', [True, False])
def test_two_a_layer_among_the_candidates_where_widths_are_told(tmp_path, told):
    shapes = {'projector': [[8, 4, True]] * told}
    one = Genotype(
        'SimCLR', {'projector.0.op': Decision(S, S[1:3])}, {'decided_at': shapes} if told else {}
    )
    save_genotype(one, tmp_path / 'given.json')
    drawn = set()
    for seed in range(12):
        draw(tmp_path / 'given.json', '--seed', seed, '--out', tmp_path / 'out.json')
        drawn |= set(load_genotype(tmp_path / 'out.json').of('projector')[0].chosen)
        assert load_genotype(tmp_path / 'out.json').top_k == 2
    # At an output that changes the width, identity is the linear map that linear_bn_relu is.
    assert drawn == set(S[: 4 - told])


def test_custom_operations_are_imported(tmp_path, monkeypatch):
    (tmp_path / 'my_ops_for_test.py').write_text(
        'from torch import nn\n'
        'from nasiam_mm.ops.candidates import CANDIDATE_OPS\n'
        'from nasiam_mm.ops.head import linear_block\n'
        '@CANDIDATE_OPS.register_module()\n'
        'def linear_bn_tanh(in_channels, out_channels, is_output=False):\n'
        '    return linear_block(nn.Tanh, in_channels, out_channels, is_output)\n',
        encoding='utf-8',
    )
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / 'genotype.json').write_text(
        '{"schema_version": 2, "framework": "SimCLR", "decisions": {"projector.0.op": '
        '{"options": ["identity", "linear_bn_tanh"], "chosen": ["linear_bn_tanh"]}}}',
        encoding='utf-8',
    )
    try:
        draw(
            tmp_path / 'genotype.json', '--out', tmp_path / 'a.json',
            '--custom-imports', 'my_ops_for_test',
        )  # fmt: skip
        (decision,) = load_genotype(tmp_path / 'a.json').of('projector')
        assert decision.options == ('identity', 'linear_bn_tanh')
    finally:
        CANDIDATE_OPS.module_dict.pop('linear_bn_tanh', None)
        sys.modules.pop('my_ops_for_test', None)


def test_import(tmp_path, capsys):
    (tmp_path / 'moco.txt').write_text(MOCO, encoding='utf-8')
    out = tmp_path / 'genotypes' / 'moco.json'
    take(tmp_path / 'moco.txt', '--framework', 'MoCo', '--out', out)
    assert load_genotype(out) == import_published(MOCO, 'MoCo', 'moco.txt')
    printed = capsys.readouterr().out
    assert printed.endswith(f'projector: avg_pool_3_bn identity identity\nwrote {out}\n')


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (None, 'No such file or directory'),
        (b'\xff\xfe', 'is not text'),
        (b"Genotype(encoder=[['conv']])", "encoder[0] names 'conv'"),
    ],
)
def test_import_refuses_in_one_line(tmp_path, capsys, content, message):
    if content:
        (tmp_path / 'moco.txt').write_bytes(content)
    out = tmp_path / 'moco.json'
    error = refused(capsys, take, tmp_path / 'moco.txt', '--framework', 'MoCo', '--out', out)
    assert message in error and not out.exists()


@pytest.mark.parametrize('more', [['--width', '512'], ['--framework', 'BYOL']])
def test_import_takes_no_width_and_no_other_framework(tmp_path, capsys, more):
    (tmp_path / 'moco.txt').write_text(MOCO, encoding='utf-8')
    with pytest.raises(SystemExit) as caught:
        take(tmp_path / 'moco.txt', '--framework', 'MoCo', '--out', tmp_path / 'a.json', *more)
    assert caught.value.code == 2 and more[0] in capsys.readouterr().err
    assert not (tmp_path / 'a.json').exists()


@pytest.mark.parametrize(
    ('tool', 'words'),
    [
        ('analysis_tools/random_genotype.py', 'random'),
        ('model_converters/import_published_genotype.py', 'import'),
    ],
)
def test_the_tools_are_these_commands(tool, words, tmp_path, monkeypatch, capsys):
    import runpy

    monkeypatch.setattr(sys, 'argv', [tool, str(tmp_path / 'no'), '--out', str(tmp_path / 'a')])
    if words == 'import':
        sys.argv += ['--framework', 'MoCo']
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(ROOT / 'tools' / tool), run_name='__main__')
    assert caught.value.code == 2
    assert str(tmp_path / 'no') in capsys.readouterr().err


S_HEAD = 'heads/simsiam_r18_s_head_cifar10_demo.py'


def test_draw_from_the_space_of_a_config(tmp_path, capsys):
    drawn = []
    for seed in (1, 1, 2, 3):
        draw(S_HEAD, '--seed', seed, '--out', tmp_path / 'g.json')
        drawn.append(load_genotype(tmp_path / 'g.json'))
    assert drawn[0] == drawn[1] != drawn[2] and drawn[0].framework == 'SimSiam'
    assert drawn[0].provenance['space_of'] == 'simsiam_r18_s_head_cifar10_demo.py'
    assert drawn[0].decisions['projector.depth'].options == (1, 2, 3, 4)
    printed = capsys.readouterr().out.splitlines()
    depth = drawn[3].settings('projector')['depth']
    assert any(line.startswith(f'projector: depth={depth} ') for line in printed)


def test_draw_from_a_search_is_that_from_its_genotype(tmp_path):
    search = 'nasiam/simsiam_r18_search_cifar10.py'
    draw(search, '--seed', 7, '--out', tmp_path / 'a.json')
    draw(tmp_path / 'a.json', '--seed', 7, '--out', tmp_path / 'b.json')
    a, b = (load_genotype(tmp_path / f'{name}.json') for name in 'ab')
    # What the recipe's widths make one function is known to the config alone.
    assert chosen(a)['projector'] == chosen(b)['projector']
    assert set(a.decisions) == set(b.decisions)


def test_a_genotype_of_more_than_operations_does_not_give_the_space(tmp_path, capsys):
    draw(S_HEAD, '--out', tmp_path / 'a.json')
    error = refused(capsys, draw, tmp_path / 'a.json', '--out', tmp_path / 'b.json')
    assert 'does not tell its whole space; draw from the config that has the space' in error
    assert f"genotype '{tmp_path / 'a.json'}' decides" in error
    assert not (tmp_path / 'b.json').exists()


@pytest.mark.parametrize(
    ('config', 'message'),
    [
        ('nasiam/simclr_r18_baseline_cifar10.py', 'the config has no model.space, so it searches'),
        ('nasiam/nowhere.py', 'does not exist'),
    ],
)
def test_a_config_without_a_space(config, message, tmp_path, capsys):
    error = refused(capsys, draw, config, '--out', tmp_path / 'a.json')
    assert message in error and config in error


def test_what_is_not_there_is_told_with_what_may_be_named(tmp_path, capsys):
    told = refused(capsys, draw, 'none.json', '--out', tmp_path / 'a.json')
    assert 'name a genotype or a config (*.py) that gives the space' in told
    told = refused(capsys, take, 'none.txt', '--framework', 'MoCo', '--out', tmp_path / 'a.json')
    assert told == "error: No such file or directory: 'none.txt'\n"


CELLS = 'backbones/simclr_cells_{}_cifar10_demo.py'


def edges_of(genotype):
    """Edges into each of the two nodes of both cells that are kept."""
    kept = [[d.chosen != ('none',) for d in genotype.of(g)] for g in ('normal', 'reduction')]
    return [sum(row) for cell in kept for row in (cell[:2], cell[2:])]


def test_cells_are_drawn_as_they_are_derived(tmp_path):
    ops, places = set(), set()
    for seed in range(12):
        out = tmp_path / f'{seed}.json'
        draw(CELLS.format('darts' if seed % 2 else 'pretrain'), '--seed', seed, '--out', out)
        drawn = load_genotype(out)
        assert edges_of(drawn) == [2] * 4 and drawn.edges == 2
        ops |= {d.chosen[0] for d in drawn.of('reduction')[:2]}
        places.add(tuple(d.chosen == ('none',) for d in drawn.of('normal')[2:]))
    # Any two of the three edges, any operation that there is.
    assert len(places) == 3 and len(ops) > 4 and 'identity' not in ops
    # In the space of a genotype that tells how many; of one that does not each edge by itself.
    draw(tmp_path / '0.json', '--seed', 5, '--out', tmp_path / 'again.json')
    assert edges_of(load_genotype(tmp_path / 'again.json')) == [2] * 4
    one = load_genotype(tmp_path / '0.json')
    save_genotype(Genotype(one.framework, one.decisions), tmp_path / 'untold.json')
    counts = []
    for seed in range(8):
        draw(tmp_path / 'untold.json', '--seed', seed, '--out', tmp_path / 'free.json')
        counts += edges_of(load_genotype(tmp_path / 'free.json'))
    assert {1, 2, 3} <= set(counts)


@pytest.mark.parametrize(
    ('hook', 'edges'),
    [
        (None, 2),
        (dict(type='GenotypeHook'), None),
        (dict(type='GenotypeHook', selection=dict(type='TopEdges')), 2),
        (dict(type='GenotypeHook', selection=dict(type='TopEdges', edges=3)), 3),
    ],
)
def test_the_selection_of_a_config_says_how_many_edges(hook, edges):
    assert edges_kept(dict(default_hooks=dict(genotype=hook))) == edges
