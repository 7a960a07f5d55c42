# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Evidence is collected within a limit and imported only as it was collected."""

import json
import shutil
import tarfile
import time
from dataclasses import replace

import pytest
import torch

from benchmarks.offline import collecting
from benchmarks.offline.collecting import best_row, collect, collect_state
from benchmarks.offline.importing import import_collected, import_state
from benchmarks.offline.parts import join_parts, write_tar
from benchmarks.offline.plans import walk
from benchmarks.offline.set_up import digest
from benchmarks.papers import execution
from benchmarks.papers.execution import Workshop
from benchmarks.papers.rows import read_row
from tests.benchmarks.test_offline.conftest import Tools
from tests.reduced import ROOT


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """The tool that prints versions takes seconds to import them."""
    monkeypatch.setattr(collecting, '_environment', lambda root: 'versions\n')


@pytest.fixture(scope='module')
def done(items, tmp_path_factory):
    """Folder of a plan that is done and its archive: made once, only read."""
    folder = tmp_path_factory.mktemp('done')
    workshop = Workshop(ROOT, folder / 'work/runs')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(execution, '_run', Tools())
        patch.setattr(collecting, '_environment', lambda root: 'versions\n')
        walk(items, workshop)
        assert collect(items, workshop, folder / 'collected.tar.gz', 5, 'a commit') == []
    return folder


@pytest.fixture
def collected(done, tmp_path):
    """The archive of a plan that is done, whose runs are in the workshop."""
    shutil.copytree(done, tmp_path, dirs_exist_ok=True)
    return tmp_path / 'collected.tar.gz'


def names(archive):
    with tarfile.open(archive) as tar:
        return set(tar.getnames())


def test_the_archive_holds_the_evidence_and_no_checkpoint(collected):
    found = names(collected)
    rows = [name for name in found if name.endswith('row.json')]
    # Two rows and the search.
    assert len(rows) == 3
    assert all(row.replace('row.json', 'log.jsonl') in found for row in rows)
    assert len([name for name in found if name.endswith('genotype.json')]) == 2
    tops = {name for name in found if '/' not in name}
    table = 'heads_demo_e1_s1_fast'
    assert tops == {
        'collected.json', 'summary.txt', 'environment.txt', f'{table}.md', f'{table}_loss.png',
    }  # fmt: skip
    assert len([name for name in found if name.startswith('console/')]) == 3
    assert not [name for name in found if name.endswith('.pth')]


def test_what_is_imported_is_what_was_collected(collected, workshop, tmp_path):
    target = tmp_path / 'docs/results/small'
    runs = import_collected(collected, target)
    assert len(runs) == 3
    for run in runs:
        assert read_row(target / 'runs' / run) == read_row(workshop.folder / run)
    text = (target / 'heads_demo_e1_s1_fast.md').read_text()
    assert '| SimSiam standard | 1 | 40.00 |' in text
    assert '--epochs 1 --search-epochs 1 --fast' in text
    # Only what the plan made stands in the table, and is compared with that.
    assert 'SimSiam random' not in text
    assert 'SimSiam standard: -10.00' in text
    assert not (target / 'console').exists()
    # Once more changes nothing and is no error.
    assert import_collected(collected, target) == runs


def test_imported_runs_are_not_made_again(collected, tools, items, tmp_path):
    elsewhere = Workshop(ROOT, tmp_path / 'elsewhere/runs')
    import_collected(collected, tmp_path / 'elsewhere')
    tools.calls.clear()
    assert walk(items, elsewhere).left == 0
    assert tools.calls == []
    # A searched row that got lost takes the genotype of the imported search.
    lost = next(elsewhere.folder.glob('*-searched-*'))
    shutil.rmtree(lost)
    assert walk(items, elsewhere).left == 0
    assert {name for _, name in tools.calls} == {lost.name}


def test_consoles_and_drawings_go_first_where_the_limit_is_low(collected, items, workshop):
    size = collected.stat().st_size
    without = collected.with_name('small.tar.gz')
    left_out = collect(items, workshop, without, (size - 1) / 2**20, 'a commit')
    assert left_out and all(name.startswith('console/') for name in left_out)
    assert without.stat().st_size < size
    assert names(collected) - names(without) == set(left_out)
    # The picture is most of it.
    left_out = collect(items, workshop, without, 0.02, 'a commit')
    assert left_out[-1] == 'heads_demo_e1_s1_fast_loss.png'
    import_collected(without, collected.with_name('into'))


def test_an_archive_over_the_limit_is_not_written(collected, items, workshop):
    target = collected.with_name('none.tar.gz')
    with pytest.raises(ValueError, match=r'--limit-mib allows 0.001'):
        collect(items, workshop, target, 0.001, 'a commit')
    assert not target.exists()


def rewritten(archive, change, relist=True):
    """The archive with its unpacked folder changed, its list of hashes made right or not."""
    folder = archive.with_name('changed')
    with tarfile.open(archive) as tar:
        tar.extractall(folder)
    change(folder)
    files = {str(p.relative_to(folder)): p for p in folder.rglob('*') if p.is_file()}
    if relist:
        listed = {name: digest(p) for name, p in files.items() if name != 'collected.json'}
        (folder / 'collected.json').write_text(json.dumps({'files': listed}))
    target = archive.with_name('changed.tar.gz')
    write_tar(target, files.items())
    return target


def change_log(folder):
    with next(folder.glob('runs/*-standard-*/log.jsonl')).open('a') as log:
        log.write('{"loss": 0.1}\n')


def change_genotype(folder):
    path = next(folder.glob('runs/*-searched-*/genotype.json'))
    path.write_text(path.read_text() + ' ')


@pytest.mark.parametrize(
    ('change', 'relist', 'message'),
    [
        (change_log, True, r'row simsiam\S*-standard-\S* does not stand, its log is another'),
        (change_log, False, r'the hash of runs/\S*log.jsonl is not the one listed'),
        (change_genotype, True, r'the genotype of row \S*-searched-\S* is not the one it names'),
        (lambda folder: (folder / 'more').touch(), False, 'more is not both listed and there'),
        (lambda folder: (folder / 'summary.txt').unlink(), False, 'summary.txt is not both'),
        (lambda folder: (folder / 'collected.json').write_text('{'), False, 'holds no collected'),
    ],
)
def test_what_was_changed_is_refused_and_nothing_is_written(collected, change, relist, message):
    target = collected.with_name('into')
    with pytest.raises(ValueError, match=message):
        import_collected(rewritten(collected, change, relist), target)
    assert not target.exists()


def test_half_an_archive_is_refused(collected):
    half = collected.with_name('half.tar.gz')
    half.write_bytes(collected.read_bytes()[: collected.stat().st_size // 2])
    with pytest.raises(ValueError, match=r'half.tar.gz is damaged'):
        import_collected(half, collected.with_name('into'))


def test_another_row_of_the_same_run_stays(collected, tmp_path):
    target = tmp_path / 'into'
    import_collected(collected, target)
    there = next(target.glob('runs/*-standard-*/row.json'))
    there.write_text(there.read_text() + ' ')
    with pytest.raises(ValueError, match='holds another row of this run'):
        import_collected(collected, target)
    assert there.read_text().endswith(' ')


def test_the_best_row_is_found(collected, items, workshop):
    job, metric, figure = best_row(items, workshop)
    assert (job.head, metric, figure) == ('standard', 'knn_fixed_test', 40.0)
    with pytest.raises(ValueError, match='nothing is measured yet'):
        best_row(items, Workshop(ROOT, workshop.folder / 'none'))


def test_a_begun_run_goes_on_elsewhere(tools, items, workshop, tmp_path):
    tools.needs = 3
    limited = replace(workshop, deadline=time.monotonic() + 3600)
    for _ in range(2):
        walk(items, limited)
    begun = next(workshop.folder.glob('*-search-*'))
    # An older checkpoint stays behind.
    old = torch.load(begun / 'train/interrupted.pth', weights_only=False)
    torch.save({**old, 'meta': dict(iter=0, epoch=0)}, begun / 'train/iter_0.pth')
    parts = tmp_path / 'state'
    assert collect_state(items, workshop, parts, 1e-3) == [begun.name]
    assert len(list(parts.glob('*.gz.*'))) > 1
    (whole,) = join_parts(parts, tmp_path / 'joined')
    work_dir = tmp_path / 'elsewhere'
    assert import_state(whole, work_dir) == [begun.name]
    saved = sorted(p.name for p in work_dir.rglob('*.pth'))
    assert saved == ['interrupted.pth']
    elsewhere = Workshop(ROOT, work_dir / 'runs')
    tools._begun = {elsewhere.folder / begun.name / 'config.py': 2}
    tools.calls.clear()
    tools.needs = 3
    assert walk(items[:1], replace(elsewhere, deadline=time.monotonic() + 3600)).left == 1
    log = (elsewhere.folder / begun.name / 'log.jsonl').read_text().splitlines()
    assert [json.loads(line)['step'] for line in log] == [1, 2, 3]
    with pytest.raises(ValueError, match='is there already'):
        import_state(whole, work_dir)


def test_without_a_begun_run_there_is_no_state(collected, items, workshop, tmp_path):
    with pytest.raises(ValueError, match='no run is begun'):
        collect_state(items, workshop, tmp_path / 'state', 1)
