# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Trials are taken up by one worker each, and by another where that is gone."""

import os
import signal
import time

import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState

from nasiam_mm.study import trials as notes
from nasiam_mm.study.storage import Storage
from tests.test_study.conftest import forked, wait

SPACE = {'depth': CategoricalDistribution([1, 2, 3])}


def storage_of(folder, url=None):
    return Storage(folder, 'heads', url)


def ask(storage, study):
    with storage.exclusive():
        storage.free_orphans(study)
        trial = study.ask(SPACE)
        if not notes.has_begun(trial.user_attrs):
            notes.note(trial, {notes.SEED: 0})
        storage.take(trial)
    return trial


def test_two_parts_of_a_study_are_kept_in_one_journal(tmp_path):
    first, again = storage_of(tmp_path), storage_of(tmp_path)
    first.study().enqueue_trial({'depth': 2})
    first.study('checks').enqueue_trial({'depth': 3})
    assert ask(again, again.study()).params == {'depth': 2}
    assert ask(again, again.study('checks')).params == {'depth': 3}


def test_a_trial_whose_worker_was_killed_is_taken_up_by_another_with_what_it_was(tmp_path):
    ready = tmp_path / 'ready'

    def work():
        storage = storage_of(tmp_path)
        with storage.working():
            trial = ask(storage, storage.study())
            trial.set_user_attr('source', 'TPE')
            trial.set_user_attr('fault', 'what came of it')
            ready.touch()
            time.sleep(600)

    other = storage_of(tmp_path)
    with forked(work) as (process,):
        while not ready.exists():
            time.sleep(0.01)
        with other.working():
            study = other.study()
            # It lives: what is asked for now is another trial.
            assert ask(other, study).number == 1
            os.kill(process, signal.SIGKILL)
            wait(process)
            trial = ask(other, study)
    first = study.trials[0]
    assert first.state == TrialState.FAIL
    assert (trial.number, trial.params, trial.user_attrs['source']) == (2, first.params, 'TPE')
    assert 'fault' not in trial.user_attrs


def test_a_worker_that_died_before_it_said_who_it_is_leaves_no_trial_behind(tmp_path):
    storage = storage_of(tmp_path)
    study = storage.study()
    study.ask(SPACE)  # and no storage.take
    with storage.working():
        trial = ask(storage, study)
    assert [t.state for t in study.trials] == [TrialState.FAIL, TrialState.RUNNING]
    assert trial.number == 1


def test_a_worker_that_ended_in_good_order_leaves_nothing_running(tmp_path):
    storage, other = storage_of(tmp_path), storage_of(tmp_path)
    study = storage.study()
    with storage.working():
        ask(storage, study)
        assert len(list((tmp_path / 'workers').iterdir())) == 1
    assert list((tmp_path / 'workers').iterdir()) == []
    found = other.study()
    with other.working(), other.exclusive():
        assert other.free_orphans(found) == [0]


@pytest.mark.parametrize('torn', ['{"op_code":4', '{', '{}garbage' * 1000])
def test_what_a_killed_worker_had_half_written_does_no_harm(tmp_path, torn):
    storage = storage_of(tmp_path)
    ask(storage, storage.study())
    with (tmp_path / 'journal.log').open('a') as file:
        file.write(torn)
    other = storage_of(tmp_path)
    assert ask(other, other.study()).number == 1
    assert [t.number for t in storage_of(tmp_path).study().trials] == [0, 1]


def test_a_lock_of_a_killed_worker_holds_nobody_up(tmp_path):
    def work():
        storage = storage_of(tmp_path)
        with storage.exclusive():
            (tmp_path / 'ready').touch()
            time.sleep(600)

    with forked(work) as (process,):
        while not (tmp_path / 'ready').exists():
            time.sleep(0.01)
        os.kill(process, signal.SIGKILL)
        began = time.monotonic()
        ask(other := storage_of(tmp_path), other.study())
        assert time.monotonic() - began < 20  # Optuna's own locks wait for 30 seconds


def test_workers_in_processes_make_each_trial_once(tmp_path):
    def work():
        storage = storage_of(tmp_path)
        study = storage.study()
        with storage.working():
            for _ in range(10):
                study.tell(ask(storage, study), 1.0)

    storage_of(tmp_path).study()
    with forked(work, count=3) as processes:
        assert [wait(process) for process in processes] == [0, 0, 0]
    trials = storage_of(tmp_path).study().trials
    assert [t.number for t in trials] == list(range(30))
    assert {t.state for t in trials} == {TrialState.COMPLETE}


@pytest.mark.parametrize(
    ('url', 'told'),
    [
        ('sqlite:///x.db', "--storage 'sqlite:///x.db': must be postgresql://USER"),
        ('nonsense', "--storage 'nonsense': must be postgresql://USER"),
        ('postgresql://me:secret@127.0.0.1:1/x', 'cannot be reached: .*refused.*start the server'),
    ],
)
def test_a_storage_that_cannot_be_is_refused_in_a_line(tmp_path, monkeypatch, url, told):
    monkeypatch.setattr('nasiam_mm.study.storage.OPENING', 0.5)
    with pytest.raises(ValueError, match=told) as error:
        storage_of(tmp_path, url)
    assert 'secret' not in str(error.value)
    assert '\n' not in str(error.value)


def test_on_postgresql_a_killed_workers_trial_is_taken_up_by_another(tmp_path, postgres):
    def work():
        storage = Storage(tmp_path, 'killed', postgres.url)
        with storage.working():
            ask(storage, storage.study())
            (tmp_path / 'ready').touch()
            time.sleep(600)

    with forked(work) as (process,):
        while not (tmp_path / 'ready').exists():
            time.sleep(0.05)
        os.kill(process, signal.SIGKILL)
        wait(process)
    other = Storage(tmp_path, 'killed', postgres.url)
    with other.working():
        trial = ask(other, other.study())
    assert trial.number == 1
    assert [t.state for t in other.study().trials] == [TrialState.FAIL, TrialState.RUNNING]


def test_a_machine_that_gives_no_sign_of_life_loses_its_trial(tmp_path, postgres, monkeypatch):
    monkeypatch.setattr('nasiam_mm.study.storage.HEARTBEAT', 1)
    monkeypatch.setattr('nasiam_mm.study.storage.GRACE', 2)
    here, there = (Storage(tmp_path / n, 'two machines', postgres.url) for n in ('here', 'there'))
    there.host = 'another'
    study, other = here.study(), there.study()
    trial = ask(there, other)
    with there.alive(trial):
        time.sleep(3)
        with here.exclusive():
            here.free_orphans(study)
        assert study.trials[0].state == TrialState.RUNNING
    time.sleep(3.5)
    again = ask(here, study)
    assert study.trials[0].state == TrialState.FAIL
    assert (again.number, again.params) == (1, trial.params)


def test_a_connection_that_is_cut_and_a_server_that_is_away_lose_nothing(tmp_path, postgres):
    def work():
        storage = Storage(tmp_path, 'cut', postgres.url)
        study = storage.study()
        with storage.working():
            while len(study.get_trials(states=(TrialState.COMPLETE,))) < 60:
                trial = ask(storage, study)
                time.sleep(0.02)
                study.tell(trial, 1.0)

    Storage(tmp_path, 'cut', postgres.url).study()
    with forked(work, count=3) as processes:
        cut = 0
        for _ in range(8):
            time.sleep(0.25)
            cut += postgres.cut_connections()
        postgres.stop()
        time.sleep(0.5)
        postgres.start()
        assert [wait(process) for process in processes] == [0, 0, 0]
    assert cut >= 3
    trials = Storage(tmp_path, 'cut', postgres.url).study().trials
    assert sum(t.state == TrialState.COMPLETE for t in trials) >= 60
    assert not any(t.state in (TrialState.RUNNING, TrialState.WAITING) for t in trials)


def test_what_is_not_of_this_study_is_not_touched(tmp_path, postgres):
    storage = Storage(tmp_path, 'mine', postgres.url)
    ask(storage, storage.study())
    names = optuna.get_all_study_names(postgres.url)
    assert {'mine'} <= set(names)
    assert 'mine/checks' not in names
