# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
import json
import subprocess
import sys
from argparse import ArgumentParser

import pytest

from benchmarks import ROOT
from benchmarks.heads.__main__ import add_arguments, run
from benchmarks.heads.jobs import Job, config, drawn_heads, genotype
from benchmarks.heads.lines import ROW, read_lines
from benchmarks.heads.rows import (
    as_line,
    collect,
    cpu,
    has_row,
    keyed,
    merged,
    replaced,
    write_rows,
)
from benchmarks.heads.scales import SCALES
from benchmarks.heads.table import is_drawn, table_of
from benchmarks.heads.warm import run_forked
from nasiam_mm.architecture.genotype import save_genotype
from nasiam_mm.datasets.resolve import resolve_data
from nasiam_mm.models.cost import training_cost
from nasiam_mm.runs.store import RunStore

FOLDER = ROOT / 'docs/results/heads'
CURVES = ('knn_val', 'knn_test', 'linear_val', 'linear_test', 'loss', 'rank_z', 'lidar', 'contrast')


@pytest.fixture(scope='module')
def rows():
    return read_lines(FOLDER / 'rows.jsonl', ROW)


def test_the_committed_rows_are_whole_and_small(rows):
    assert (FOLDER / 'rows.jsonl').stat().st_size < 3_000_000
    keys = [(row['framework'], row['scale'], row['head'], row['seed']) for row in rows]
    assert keys == sorted(keys)
    assert len({*keys}) == len(keys)
    for row in rows:
        scale = SCALES[row['scale']]
        assert {len(row[name]) for name in CURVES[:4]} == {scale.epochs // scale.interval}, row
        assert len(row['loss']) == len(row['rank_z']) == scale.epochs
        assert all(0 <= row[name][-1] <= 100 for name in CURVES[:4])
        if is_drawn(row['head']):
            options = drawn_heads(row['framework'])[row['head']]
            assert row['decided'].items() <= options.items()


def test_a_row_is_made_again_bit_for_bit(rows, tmp_path):
    if not (ROOT / 'data/cifar10/train_images.npy').is_file():
        pytest.skip('CIFAR-10 is not here; make data brings it, as .ci/run does')
    here = [row for row in rows if row['scale'] == 'thumb' and row.get('cpu') == cpu()]
    row = (here or [row for row in rows if row['scale'] == 'thumb'])[0]
    job = Job(row['framework'], 'thumb', row['head'], row['seed'])
    cfg = config(job, tmp_path)
    cfg.data.root = str(ROOT / 'data/cifar10')
    variables = {'OMP_NUM_THREADS': '1'}
    store = RunStore(tmp_path / 'runs', ('train',), variables=variables, launch=run_forked)
    made = store.make(store.of(str(job), cfg), cfg)
    resolve_data(cfg)
    cost = training_cost(cfg.model.to_dict(), cfg.model.data_preprocessor.views.size)
    line = json.loads(json.dumps(as_line(job, made, cost._asdict())))
    aside = ('seconds', 'digest', 'cpu')  # of the machine; of the folder of the data
    line, row = ({k: v for k, v in one.items() if k not in aside} for one in (line, row))
    if here:
        assert line == row
    else:  # sums in another order
        for name in CURVES[:4]:
            assert line[name][-1] == pytest.approx(row[name][-1], abs=4)


def test_what_has_a_row_is_not_made_again(rows, tmp_path, capsys):
    jobs = [
        Job('simclr', 'narrow', head, 0) for head in ('standard', 'beta_darts', str(tmp_path / 'x'))
    ]
    assert [has_row(job, keyed(rows)) for job in jobs] == [True, True, False]
    changed = [row | {'decided': {}} for row in rows]  # of heads that are other ones by now
    assert not has_row(jobs[0], keyed(changed))
    work = tmp_path / 'work'
    parser = ArgumentParser()
    add_arguments(parser)
    given = ['--rows', str(FOLDER / 'rows.jsonl'), '--work-dir', str(work)]
    run(parser.parse_args(['make', '--heads', 'standard', '--seeds', '0', *given]))
    assert '1 of 1 runs have a row in ' in capsys.readouterr().out
    assert not work.exists()


def test_rows_are_read_without_this_package(rows, tmp_path):
    source = (FOLDER / 'read.py').read_text()
    assert len(source.splitlines()) <= 32
    told = subprocess.run(
        [sys.executable, '-I', FOLDER / 'read.py'], capture_output=True, text=True, check=True
    ).stdout
    own = [row['head'] for row in rows if (row['framework'], row['scale']) == ('simclr', 'thumb')]
    assert f'simclr at thumb: {len({*own})} heads, {len(own)} runs' in told
    assert 'nasiam' not in source.split('"""')[2]


def test_rows_come_back_in_order_and_damage_is_told(tmp_path):
    given = [
        dict(framework='byol', scale='x', head=head, seed=seed, decided={}, knn_test=[1.0])
        for head, seed in (('h01', 1), ('h00', 2), ('h00', 0))
    ]
    path = tmp_path / 'rows.jsonl'
    assert write_rows(given, path) == 3
    assert read_lines(path, ROW) == given[::-1]
    path.write_text(path.read_text() + '\n')
    assert len(read_lines(path, ROW)) == 3
    with pytest.raises(FileNotFoundError, match='none.jsonl does not exist; make it first'):
        read_lines(tmp_path / 'none.jsonl', ROW)


@pytest.mark.parametrize(
    ('line', 'told'),
    [
        ('{"framework"', 'line 2: Expecting'),
        ('[1, 2]', 'line 2 is no object'),
        ('{"a": 1}', 'line 2 has no framework, str'),
        ({'seed': 'x'}, 'line 2 has no seed, int'),
        ({'knn_test': [1.0, float('nan')]}, r'line 2: knn_test is \[1.0, nan\], no numbers'),
        ({'knn_test': []}, r'line 2: knn_test is \[\], no numbers'),
        ({'linear_test': 'x'}, "line 2: linear_test is 'x', no numbers"),
        (b'\xff\xfe', 'is no text of JSON lines'),
    ],
)
def test_what_is_no_row_is_named(line, told, tmp_path):
    row = dict(framework='byol', scale='x', head='h00', seed=0, decided={}, knn_test=[1.0])
    path = tmp_path / 'rows.jsonl'
    line = json.dumps(row | line) if isinstance(line, dict) else line
    line = line if isinstance(line, bytes) else line.encode()
    path.write_bytes(json.dumps(row).encode() + b'\n' + line + b'\n')
    with pytest.raises(ValueError, match=told):
        read_lines(path, ROW)


def test_rows_of_ones_own_heads_made_elsewhere_stay(rows):
    own = rows[0] | {'head': 'mine', 'decided': {'temperature': 0.3}}
    other = next(row for row in rows if row['head'] == 'h00') | {'decided': {}}
    assert merged([rows[1]], [own, other]) == [own, rows[1]]


@pytest.mark.parametrize(
    ('words', 'told'),
    [
        ('--framework foo', "there is no framework 'foo'; take one of simclr, simsiam, byol"),
        ('--scale foo', "there is no scale 'foo'; take one of"),
        ('--seeds 0 -1', 'a seed is a whole number from 0 to 4294967295, got -1'),
        ('--heads foo', "'foo' is neither a file nor a head: h00 to h95, "),
        ('--heads {}/h00.json', 'h00 is the name of another head; rename the file'),
        ('--heads {}/gdas-3.json', 'gdas-3 is the name of another head; rename the file'),
        ('--framework byol --heads {}/own.json', 'own.json is of SimCLR, not of BYOL'),
        ('--rows {}/none.jsonl', 'none.jsonl does not exist; make it first'),
    ],
)
def test_what_cannot_be_made_is_refused_before_anything_is(words, told, tmp_path):
    for name in ('h00', 'gdas-3', 'own'):
        save_genotype(genotype(Job('simclr', 'narrow', 'h01', 0)), tmp_path / f'{name}.json')
    parser = ArgumentParser()
    add_arguments(parser)
    given = ['make', *words.format(tmp_path).split(), '--work-dir', str(tmp_path / 'work')]
    with pytest.raises((ValueError, FileNotFoundError), match=told):
        run(parser.parse_args(given))
    assert not (tmp_path / 'work').exists()


def test_a_job_that_cannot_be_read_is_left_out(tmp_path, capsys):
    (tmp_path / 'jobs').mkdir()
    (tmp_path / 'jobs/cut.json').write_text('{"framework"')
    (tmp_path / 'jobs/gone.json').write_text(
        json.dumps(vars(Job('simclr', 'narrow', str(tmp_path / 'gone.json'), 0)))
    )
    assert not [*collect(tmp_path)]
    told = capsys.readouterr().err.splitlines()
    assert [line.split(': ')[0].split('/')[-1] for line in told] == [
        'cut.json is left out', 'gone.json is left out',
    ]  # fmt: skip


def test_a_row_that_is_replaced_is_named():
    before = [
        dict(framework='byol', scale='x', head='h00', seed=seed, digest='a', cpu='AVX2')
        for seed in range(4)
    ]
    made = [before[0], before[1] | {'digest': 'b'}, before[2] | {'cpu': 'AVX512'}]
    made.append(before[3] | {'seed': 4})
    assert replaced(made, before) == [('byol', 'x', 'h00', seed) for seed in (1, 2)]


def test_a_table_has_the_drawn_heads_with_all_seeds():
    given = [
        dict(framework='byol', scale='x', head=head, seed=seed, decided={}, knn_test=[1.0, 2.0])
        for head in ('h00', 'h01', 'standard') for seed in (0, 1)
    ]  # fmt: skip
    found = table_of(given[:-1], 'byol', 'x')
    assert found.heads == ['h00', 'h01']
    assert found.scores('knn_test', 0).tolist() == [[1.0, 1.0]] * 2
    assert table_of(given[1:], 'byol', 'x').heads == ['h01']
    # A seed that is being made takes nothing from the others.
    table = table_of([*given, given[0] | {'seed': 2}, given[2] | {'head': 'h02'}], 'byol', 'x')
    assert (table.heads, table.seeds) == (['h00', 'h01'], [0, 1])
    with pytest.raises(ValueError, match='no rows of simclr at scale x'):
        table_of(given, 'simclr', 'x')
