# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What would make a study wait for ever, tell a wrong answer, or take what is another's."""

import json
import time
from types import SimpleNamespace

import pytest

from nasiam_mm.models.cost import Cost
from nasiam_mm.runs.store import RunFailed
from nasiam_mm.study import trials as notes
from nasiam_mm.study.address import shown
from nasiam_mm.study.beginning import pilots
from nasiam_mm.study.heads import random_options
from nasiam_mm.study.plan import WAIT, Plan
from nasiam_mm.study.report import write_report
from nasiam_mm.study.rows import Check, Trial
from nasiam_mm.study.section import Study
from nasiam_mm.study.storage import Storage
from nasiam_mm.study.trainings import STANDARD
from tests.test_study.played import worker

SMALL = dict(trials=2, max_seeds=3)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr('nasiam_mm.study.jobs.read_test', lambda *_: 44.0)
    monkeypatch.setattr('nasiam_mm.study.worker._PAUSE', 0.02)


def test_pilots_of_a_space_of_two_heads_are_no_more_than_it_holds(tmp_path, monkeypatch):
    monkeypatch.setattr(
        'tests.test_study.played.SPACE', dict(projector=dict(depth=[2]), temperature=[0.1, 0.5])
    )
    drawn = []

    def counted(choices, seed):
        drawn.append(seed)
        assert len(drawn) < 5000
        return random_options(choices, seed)

    monkeypatch.setattr('nasiam_mm.study.beginning.random_options', counted)
    one = worker(tmp_path, trials=6, cheap={'train_cfg.max_epochs': 1}, pilot=4)
    assert len(pilots(one.trials)) == 3  # both, and the standard one


def test_a_comparison_keeps_the_seeds_and_the_rule_that_it_began_with(tmp_path):
    assert worker(tmp_path, **SMALL).run(20)
    with pytest.raises(ValueError, match='study.seed is 0 there and 3 here'):
        worker(tmp_path, **SMALL, seed=3)
    for changes in (dict(margin=9.0), dict(max_seeds=8)):
        with pytest.raises(ValueError, match='begun with max_seeds 3 and margin 1; leave'):
            worker(tmp_path, **{**SMALL, **changes}).plan()
    longer = worker(tmp_path, trials=3, max_seeds=4, margin=2.0)
    assert longer.run(20)
    assert longer.plan().rounds[1][3:] == (4, 2.0)


def test_candidates_that_come_late_or_do_not_fit_in_are_refused(tmp_path):
    one = worker(tmp_path / 'one', **SMALL)
    assert one.run(20)
    files = [str(path) for path in (tmp_path / 'one' / 'genotypes').glob('*.json')]
    with pytest.raises(ValueError, match="'heads' has begun without the candidate .*another --s"):
        worker(tmp_path / 'one', **SMALL, candidates=files)
    with pytest.raises(ValueError, match=r'study.trials is 1, and 2 heads are to be tried.*raise'):
        worker(tmp_path / 'two', trials=1, candidates=files)
    assert worker(tmp_path / 'three', **SMALL, candidates=files).plan().given
    assert worker(tmp_path / 'three', **SMALL, candidates=files).plan().given


def test_a_folder_is_of_one_study(tmp_path):
    Storage(tmp_path, 'a')
    Storage(tmp_path, 'a')
    with pytest.raises(ValueError, match="holds study 'a', whose report .*another --work-dir"):
        Storage(tmp_path, 'b')


def test_machines_of_one_name_and_folders_of_one_machine_do_not_take_trials_from_each_other(
    tmp_path, postgres
):
    here, there = (Storage(tmp_path / n, 'one name', postgres.url) for n in ('here', 'there'))
    study, other = here.study(), there.study()
    with there.working():
        with there.exclusive():
            there.take(other.ask())
        with here.exclusive():
            assert here.free_orphans(study) == []
    with there.exclusive():
        assert there.free_orphans(other) == [0]


def test_a_trial_gives_a_sign_of_life_before_it_is_somebodys(tmp_path, postgres, monkeypatch):
    monkeypatch.setattr('nasiam_mm.study.storage.HEARTBEAT', 1)
    monkeypatch.setattr('nasiam_mm.study.storage.GRACE', 1)
    here, there = (Storage(tmp_path / n, 'no sign', postgres.url) for n in ('here', 'there'))
    study, other = here.study(), there.study()
    with there.exclusive():
        there.take(other.ask())  # and its machine dies
    time.sleep(2.1)
    with here.exclusive():
        assert here.free_orphans(study) == [0]


@pytest.mark.parametrize(
    ('url', 'told'),
    [
        ('postgresql://me:secret@host:1/db', "'postgresql://me@host:1/db'"),
        ('postgresql://host/db?user=me&password=secret', "'postgresql://host/db'"),
        ('postgresql://me:sec@ret@host/db', "'postgresql://me@host/db'"),
        ('me:secret@host/db', "'...'"),
        ('nonsense', "'nonsense'"),
    ],
)
def test_no_message_holds_a_password(url, told):
    assert shown(url) == told


def test_without_labels_no_test_images_are_read_and_the_report_says_what_was_measured(
    tmp_path, monkeypatch
):
    def fail(*_):
        raise RunFailed('no labels')

    monkeypatch.setattr('nasiam_mm.study.jobs.read_test', fail)
    one = worker(tmp_path, trials=3, max_seeds=3)
    one.trainings.is_labelled = False
    one.trainings.objective = SimpleNamespace(name='rankme', score=float)
    one.trainings.score = lambda curves: dict(curves['knn/val_top1'])
    assert one.run(20)
    told = write_report(tmp_path, one.plan(), one.trainings)
    report = json.loads((tmp_path / 'verdict.json').read_text())
    assert report['refused'] == [] and report['test'] == {}
    assert report['budget']['measure'] == 'rankme'
    assert ' of rankme' in report['sentence'] and 'points' not in report['sentence']
    assert 'rankme, mean (seeds)' in told and 'kNN' not in told.split('\n\n')[1].split('.')[0]


def test_test_images_that_cannot_be_read_refuse_no_head_and_end_nothing(tmp_path, monkeypatch):
    def fail(*_):
        raise RunFailed('the test images were not read: there are none')

    monkeypatch.setattr('nasiam_mm.study.jobs.read_test', fail)
    one = worker(tmp_path, trials=3, max_seeds=3)
    assert one.run(20)  # six fail in a row
    write_report(tmp_path, one.plan(), one.trainings)
    report = json.loads((tmp_path / 'verdict.json').read_text())
    assert report['refused'] == []
    assert 'the test images were not read: there are none' in report['notes']


def test_a_limit_of_seconds_is_of_trials_and_bars_no_head_of_a_comparison(tmp_path, monkeypatch):
    one = worker(tmp_path, **SMALL, limits=dict(seconds=20))
    one.trainings.cost = lambda options: Cost(1000, 1000)
    read = one.trainings.read

    def slow(folder, row, check):
        result = read(folder, row, check)
        object.__setattr__(result, 'seconds', 50.0 if check else 1.0)
        return result

    monkeypatch.setattr(one.trainings, 'read', slow)
    assert one.run(20)
    checks = notes.read_checks(one.checks)
    assert any(c.phase == 'verify' for c in checks) and not any(c.fault for c in checks)


def test_places_are_kept_for_heads_that_a_search_by_gradient_is_about_to_find():
    study = Study(trials=8, gradient=(dict(strategy='gdas'),))
    running = Check(phase='gradient', key='0', seed=0, state='running')
    done = Check(phase='gradient', key='0', seed=0, state='complete')

    def trials(count):
        of = dict(state='complete', score=1.0, options={}, source='TPE', seed=0)
        return [Trial(number=n, key=f'{n}' if n else STANDARD, **of) for n in range(count)]

    assert Plan(study, trials(1), [running], standard={}).next().phase == 'search'
    assert Plan(study, trials(2), [running], standard={}).next() == WAIT
    assert Plan(study, trials(2), [done], standard={}).next().phase == 'search'


@pytest.mark.parametrize(
    ('changes', 'told'),
    [
        (dict(images=1), 'study.images must be 0 or an integer from 2, got 1'),
        (dict(verify=101), 'study.verify must be at most 100'),
        (dict(max_seeds=1001), 'study.max_seeds must be at most 1000'),
        (dict(rerank_seeds=501), 'study.rerank_seeds must be at most 500'),
        (dict(seed=2**32), 'study.seed must be at most 1000000000'),
    ],
)
def test_numbers_that_would_end_a_study_late_are_refused_at_once(changes, told):
    with pytest.raises(ValueError, match=told):
        Study(**changes)
