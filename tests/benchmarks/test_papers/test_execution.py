# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A small table made for real: search, pretrain, measure, render.

1. Each run has a row whose figures are those of its own log and measurements.
   A table of searches measures nothing and shares them; their genotypes are drawn.
2. What is measured is not made again; what lost its log is; what was interrupted goes on.
3. A failed run is told and leaves no row.
"""

import contextlib
import json
import os
import runpy
import shutil
import sys

import pytest
import torch

from benchmarks.papers import execution
from benchmarks.papers.execution import RunFailed, Workshop
from benchmarks.papers.planning import all_jobs, plan_table
from benchmarks.papers.publishing import make_runs, publish
from benchmarks.papers.rows import digest_of, read_row
from benchmarks.papers.spec import Head, Recipe, Row, Table
from tests.reduced import ROOT, reduced

STEM, LINEAR = 'nasiam/simclr_r18_{}_cifar10_demo', 'benchmarks/linear/r18_cifar10_linear_demo'
SEARCH = Recipe(STEM.format('search'))
TABLE = Table(
    'A small table',
    (
        Row('standard', Recipe(STEM.format('baseline'))),
        Row('searched', Recipe(STEM.format('pretrain'), head=Head('searched', SEARCH)),
            ('standard',)),
    ),
    {'linear_top1': 'linear', 'knn_fixed_test': 'kNN', 'loss': 'loss'},
    linear=LINEAR,
    fractions=(0.1,),
    curves=True,
)  # fmt: skip


def run_here(command, root, console):
    """Run a tool in this process: the imports are what takes time."""
    script, *argv = command[1:]
    with contextlib.redirect_stdout(console), contextlib.redirect_stderr(console):
        runpy.run_path(script, run_name='tool')['main'](argv)
    return 0


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    """A copy of the project's root with reduced configs."""
    folder = tmp_path_factory.mktemp('project')
    (folder / 'tools').symlink_to(ROOT / 'tools')
    for name in (*(STEM.format(k) for k in ('search', 'pretrain', 'baseline')), LINEAR):
        path = folder / f'configs/{name}.py'
        path.parent.mkdir(parents=True, exist_ok=True)
        cfg = reduced(name, folder)
        cfg.pop('work_dir')
        cfg.dump(path)
    return folder


@pytest.fixture(scope='module')
def made(root):
    """The workshop with the table made once."""
    workshop = Workshop(root, root / 'runs')
    plan = plan_table(TABLE, [3], root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(execution, '_run', run_here)
        assert make_runs(all_jobs(plan), TABLE, workshop) == []
    return workshop, plan


def row_of(made, name):
    workshop, plan = made
    return workshop.of(plan[name][3]), read_row(workshop.of(plan[name][3]))


def test_figures_are_those_of_log_and_measurements(made):
    folder, row = row_of(made, 'searched')
    log = [json.loads(line) for line in (folder / row['log']).read_text().splitlines()]
    assert row['metrics']['knn_val'] == [e['knn/val_top1'] for e in log if 'knn/val_top1' in e][-1]
    linear = json.loads((folder / 'linear.json').read_text())
    assert row['metrics']['linear_top1'] == linear['accuracy/top1']
    features = json.loads((folder / 'features.json').read_text())
    assert row['metrics']['knn_fixed_test'] == features['knn_fixed']['test_top1']
    assert [found['fraction'] for found in row['few_labels']] == [0.1]
    assert (row['seed'], row['head']) == (3, 'searched')
    assert (
        set(row['wall_seconds']) == {'train', 'features', 'linear'} == set(row['process_seconds'])
    )
    assert row['versions']['torch'].startswith(torch.__version__.split('+')[0])


def test_the_searched_head_is_the_one_found(made):
    workshop, plan = made
    found = workshop.of(plan['searched'][3].search) / 'train/genotype.json'
    folder, _ = row_of(made, 'searched')
    assert (folder / 'genotype.json').read_bytes() == found.read_bytes()


def test_the_genotype_of_a_search_that_is_under_way_is_not_taken(made, root):
    workshop, plan = made
    job = plan['searched'][3]
    elsewhere = Workshop(root, root / 'under-way')
    shutil.copytree(workshop.of(job.search) / 'train', elsewhere.of(job.search) / 'train')
    assert elsewhere.found_genotype(job.search).is_file()
    with pytest.raises(RunFailed, match='is not at its end; make it first'):
        elsewhere.make(job, TABLE)
    assert not (elsewhere.of(job) / 'genotype.json').exists()


def test_the_linear_classifier_stands_on_the_frozen_backbone_of_the_run(made):
    folder, _ = row_of(made, 'standard')
    pretrained, probe = (
        torch.load(folder / name, weights_only=False)['state_dict']
        for name in ('train/epoch_1.pth', 'linear/epoch_1.pth')
    )
    names = [name for name in probe if name.startswith('backbone.')]
    assert len(names) == 120
    assert all(torch.equal(probe[name], pretrained[name]) for name in names)


def test_what_is_measured_is_not_made_again(made, monkeypatch, capsys):
    workshop, plan = made
    monkeypatch.setattr(execution, '_run', None)
    assert make_runs(all_jobs(plan), TABLE, workshop) == []
    assert capsys.readouterr().out.count('measured already') == 3
    assert {workshop.state(job, TABLE) for job in all_jobs(plan)} == {'measured'}


def test_the_table_is_rendered_and_exported(made, tmp_path):
    workshop, plan = made
    target = tmp_path / 'docs/small.md'
    publish(TABLE, plan, workshop, [3], 'make it', target, with_evidence=True)
    text = target.read_text()
    assert (tmp_path / 'docs/small_loss.png').stat().st_size > 1000
    assert '![loss over the epochs](small_loss.png)' in text
    _, row = row_of(made, 'standard')
    assert f'| standard | 1 | {row["metrics"]["linear_top1"]:.2f} |' in text
    assert 'n=1, no test' in text
    exported = tmp_path / 'docs/runs' / row['run']
    assert read_row(exported) == row
    assert not list(exported.glob('*.pth'))
    assert str(workshop.folder) not in text


FOUND = Table(
    'Genotypes', (Row('SimCLR, small', SEARCH),), {'loss': 'last loss'},
    features=False, genotypes=True,
)  # fmt: skip


def test_a_table_of_searches_shares_them_and_draws_what_they_found(made, root, tmp_path):
    workshop, _ = made
    plan = plan_table(FOUND, [3, 4], root)
    jobs = all_jobs(plan)
    assert [workshop.state(job, FOUND) for job in jobs] == ['measured', 'to do']
    target = tmp_path / 'docs/found.md'
    publish(FOUND, plan, workshop, [3, 4], 'make it', target, with_evidence=True)
    text = target.read_text()
    assert '![SimCLR, small, seed 3](found_simclr-small_seed3.png)' in text
    assert (tmp_path / 'docs/found_simclr-small_seed3.png').stat().st_size > 1000
    link = f'runs/{jobs[0].name}/genotype.json'
    found = json.loads((tmp_path / 'docs' / link).read_text())
    assert f'[genotype.json]({link})' in text
    row = read_row(tmp_path / 'docs/runs' / jobs[0].name)
    assert row['genotype_sha256'] == digest_of(tmp_path / 'docs' / link)
    assert (row['head'], row['measures'], row['measure_logs']) == ('search', {}, {})
    ops = [op for decision in found['decisions'].values() for op in decision['chosen']]
    assert all(f'{op} (' in text for op in ops)
    assert f'of {len(ops)} |' in text
    assert '1 searches' in text
    assert 'Nothing is measured on test images.' in text
    # Without the copies, the links lead to where the search has left it.
    publish(FOUND, plan, workshop, [3, 4], 'make it', tmp_path / 'found.md')
    assert f'(runs/{jobs[0].name}/train/genotype.json)' in (tmp_path / 'found.md').read_text()


def test_a_search_that_lost_its_genotype_is_not_done(copied, root):
    workshop, _ = copied
    (job,) = all_jobs(plan_table(FOUND, [3], root))
    workshop.found_genotype(job).unlink()
    assert workshop.state(job, FOUND) == 'begun'


@pytest.fixture
def copied(made, root, tmp_path):
    """The finished workshop, to be damaged."""
    workshop, plan = made
    shutil.copytree(workshop.folder, tmp_path / 'runs')
    return Workshop(root, tmp_path / 'runs'), plan['standard'][3]


def counted(monkeypatch, fail=None):
    """Let the tools run, note which, and end the one called ``fail``."""
    calls = []

    def run(command, root, console):
        step = command[1].rsplit('/', 1)[-1]
        calls.append(step)
        if step == fail:
            raise KeyboardInterrupt
        return run_here(command, root, console)

    monkeypatch.setattr(execution, '_run', run)
    return calls


def test_a_row_that_lost_its_log_is_written_again_from_the_training(copied, monkeypatch):
    workshop, job = copied
    (workshop.of(job) / 'log.jsonl').unlink()
    assert workshop.state(job, TABLE) == 'begun'
    calls = counted(monkeypatch)
    workshop.make(job, TABLE)
    assert calls == []
    assert workshop.state(job, TABLE) == 'measured'


def test_what_a_killed_table_left_half_written_is_removed(copied, tmp_path, monkeypatch):
    workshop, job = copied
    folder = workshop.of(job)
    (folder / 'row.json').unlink()
    left = [folder / '.row.json.0123abcd.tmp.json', folder / 'features.new.json']
    left.append(tmp_path / '.small.md.0123abcd.tmp.md')
    for path in left:
        path.touch()
    assert counted(monkeypatch) == []
    workshop.make(job, TABLE)
    publish(TABLE, {'standard': {3: job}, 'searched': {}}, workshop, [3], '', tmp_path / 'small.md')
    assert [path for path in left if path.exists()] == []


def test_a_tool_stops_with_its_table(tmp_path):
    code = 'import os; print(os.environ["NASIAM_LAUNCHER"])'
    with (tmp_path / 'console').open('w') as console:
        execution._run([sys.executable, '-c', code], ROOT, console)
    assert (tmp_path / 'console').read_text() == f'{os.getpid()}\n'


def test_only_what_a_table_needs_besides_is_measured(copied, monkeypatch):
    workshop, job = copied
    more = Table('', TABLE.rows, TABLE.columns, linear=LINEAR, fractions=(0.2,))
    assert workshop.state(job, more) == 'begun'
    calls = counted(monkeypatch)
    row = workshop.make(job, more)
    assert calls == ['evaluate_features.py']
    # What the first table measured stays.
    assert [found['fraction'] for found in row['few_labels']] == [0.1, 0.2]
    assert workshop.state(job, TABLE) == workshop.state(job, more) == 'measured'


def test_an_interrupted_measurement_leaves_no_row_and_goes_on(copied, monkeypatch):
    workshop, job = copied
    folder = workshop.of(job)
    (folder / 'row.json').unlink()
    (folder / 'features.json').unlink()
    shutil.rmtree(folder / 'linear')
    (folder / 'linear.json').unlink()
    counted(monkeypatch, fail='test.py')
    with pytest.raises(KeyboardInterrupt):
        workshop.make(job, TABLE)
    assert read_row(folder) is None
    calls = counted(monkeypatch)
    workshop.make(job, TABLE)
    # The classifier was trained already.
    assert calls == ['test.py']
    assert workshop.state(job, TABLE) == 'measured'


def test_measurements_of_another_checkpoint_do_not_count(copied, monkeypatch):
    workshop, job = copied
    found = json.loads((workshop.of(job) / 'features.json').read_text())
    found['checkpoint_sha256'] = 'another'
    (workshop.of(job) / 'features.json').write_text(json.dumps(found))
    (workshop.of(job) / 'row.json').unlink()
    calls = counted(monkeypatch)
    workshop.make(job, TABLE)
    assert calls == ['evaluate_features.py']


def test_a_failed_step_is_told_with_its_reason(copied, monkeypatch, capsys):
    workshop, job = copied
    shutil.rmtree(workshop.of(job))

    def refuse(command, root, console):
        console.write('progress\nerror: the data is missing\n')
        return 2

    monkeypatch.setattr(execution, '_run', refuse)
    (told,) = make_runs([job], TABLE, workshop)
    assert 'train failed: the data is missing' in told
    assert told in capsys.readouterr().out
    assert read_row(workshop.of(job)) is None


def test_a_run_that_another_process_makes_is_left_to_it(copied, capsys):
    workshop, job = copied
    (workshop.of(job) / 'row.json').unlink()
    with execution.locked(workshop.of(job)):
        assert make_runs([job], TABLE, workshop) == []
    assert 'another process is at it' in capsys.readouterr().out


@pytest.mark.parametrize(('status', 'raised'), [(130, KeyboardInterrupt), (143, KeyboardInterrupt),
                                                (1, RunFailed), (0, None)])  # fmt: skip
def test_how_a_tool_ends_decides(copied, monkeypatch, status, raised):
    workshop, job = copied
    code = f'import sys; print("words"); sys.exit({status})'
    real = execution._run
    monkeypatch.setattr(
        execution,
        '_run',
        lambda _, root, console: real([sys.executable, '-c', code], root, console),
    )
    with pytest.raises(raised) if raised else contextlib.nullcontext():
        workshop._call(job, 'step', 'script')
    times = json.loads((workshop.of(job) / 'times.json').read_text())
    assert times['step']['wall'] > 0
    assert (workshop.of(job) / 'console.log').read_text().endswith('words\n')
