# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Workers that die between any two things that they note, and studies that must not wait for them.

A worker dies here by an exception that nothing catches, before or behind a chosen write.
"""

import itertools
import json
import math
import shutil

import pytest
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import JournalStorage
from optuna.trial import TrialState

from nasiam_mm.study import trials as notes
from nasiam_mm.study.orphans import RETRIES, begin_again
from nasiam_mm.study.report import write_report
from tests.test_study.played import worker
from tests.test_study.test_worker import scores

SMALL = dict(trials=3, max_seeds=3)
WRITES = (
    'create_new_study', 'create_new_trial', 'set_study_user_attr', 'set_trial_param',
    'set_trial_state_values', 'set_trial_user_attr', 'set_trial_system_attr',
    'set_trial_intermediate_value',
)  # fmt: skip


class Death(BaseException):
    pass


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr('nasiam_mm.study.jobs.read_test', lambda *_: 44.0)
    monkeypatch.setattr('nasiam_mm.study.worker._PAUSE', 0.02)


@pytest.fixture(scope='module')
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp('alone')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('nasiam_mm.study.jobs.read_test', lambda *_: 44.0)
        one = worker(folder, **SMALL)
        assert one.run()
    return one, folder


def die_at(patch, wanted, behind):
    """Die at the first write for which ``wanted(name, arguments)``."""

    def deadly(name, write):
        def call(self, *args, **kwargs):
            dies = wanted(name, args)
            if dies and not behind:
                raise Death
            result = write(self, *args, **kwargs)
            if dies:
                raise Death
            return result

        return call

    for name in WRITES:
        patch.setattr(JournalStorage, name, deadly(name, getattr(JournalStorage, name)))


def live(folder, wanted, behind=False, **changes):
    """Live until then; return whether the study came to its end before."""
    with pytest.MonkeyPatch.context() as patch:
        die_at(patch, wanted, behind)
        try:
            return worker(folder, **{**SMALL, **changes}).run(20)
        except Death:
            return False


def test_a_study_whose_workers_die_after_any_number_of_writes_equals_one_left_alone(
    tmp_path, alone
):
    one, folder = alone
    # What is trained is not trained again: only the study is made anew, a few writes in each life.
    shutil.copytree(folder / 'runs', tmp_path / 'runs')
    for life in range(40):
        left = itertools.count(21 + life % 7, -1)
        if live(tmp_path, lambda *_, left=left: next(left) == 0, behind=bool(life % 2)):
            break
    assert life > 4
    other = worker(tmp_path, **SMALL)
    assert other.run(10)
    assert scores(other) == scores(one)
    assert len(notes.read_trials(other.trials)) == 3
    assert other.plan().verdict() == one.plan().verdict()


@pytest.mark.parametrize('noted', notes.OF_A_JOB)
def test_a_worker_that_dies_as_it_notes_a_job_leaves_none_that_is_half_there(
    tmp_path, alone, noted
):
    one, folder = alone
    shutil.copytree(folder / 'runs', tmp_path / 'runs')
    times = itertools.count()

    def wanted(name, args):
        # The second: not that of the standard head, which was queued with some of them.
        return name == 'set_trial_user_attr' and args[1] == noted and next(times) == 1

    assert not live(tmp_path, wanted, behind=True)
    other = worker(tmp_path, **SMALL)
    assert other.run(10)
    assert scores(other) == scores(one)


def test_the_last_check_of_a_comparison_is_taken_up_again(tmp_path, alone):
    one, folder = alone
    shutil.copytree(folder / 'runs', tmp_path / 'runs')
    told = itertools.count(1)

    def wanted(name, args):
        is_one = name == 'set_trial_user_attr' and args[1] == notes.CORRECT
        return is_one and next(told) == 6

    assert not live(tmp_path, wanted)
    other = worker(tmp_path, **SMALL)
    assert other.run(10)
    assert scores(other) == scores(one)


def test_a_fault_of_a_worker_that_died_is_found_again_and_counts_once(tmp_path, monkeypatch):
    monkeypatch.setenv('COLLAPSES', '0')
    changes = dict(min_std=2.0, verify=0)  # all collapse

    def wanted(name, args):
        return name == 'set_trial_user_attr' and args[1] == notes.FAULT

    assert not live(tmp_path, wanted, behind=True, **changes)
    one = worker(tmp_path, **{**SMALL, **changes})
    assert one.run(10)
    trials = notes.read_trials(one.trials)
    assert len(trials) == 3
    assert all(trial.score > 0 and 'collapsed' in trial.fault for trial in trials)
    assert all(t.constraints['collapse of std'] > 0 for t in one.trials.get_trials()[1:])


def test_what_kills_each_of_its_workers_is_given_up_as_failed(tmp_path):
    one = worker(tmp_path, **SMALL)
    for _ in range(RETRIES + 1):
        one.trials.ask(one.space)
        (running,) = one.trials.get_trials(states=(TrialState.RUNNING,))
        begin_again(one.trials, running)
    (first,) = notes.read_trials(one.trials)
    assert first.fault == f'failed: {RETRIES + 1} workers have died at it'


def test_one_that_was_replaced_while_it_was_silent_goes_on_with_something_else(tmp_path):
    one = worker(tmp_path, **SMALL)
    trial = one._take(one.plan().next(), one.plan())
    one.trials.tell(trial.number, state=TrialState.FAIL)
    with pytest.raises(UpdateFinishedTrialError):
        trial.set_user_attr('x', 1)
    assert one.jobs.do(trial, True) == ''


@pytest.mark.parametrize('score', [math.nan, math.inf, -math.inf])
def test_a_score_that_is_no_number_refuses_the_head_and_ends_no_worker(
    tmp_path, monkeypatch, score
):
    one = worker(tmp_path, **SMALL)
    read, bad = one.trainings.read, set()

    def broken(folder, row, check):
        result = read(folder, row, check)
        if not row['run'].startswith('standard'):
            bad.add(row['run'].split('-')[0])
            object.__setattr__(result, 'score', score)
            object.__setattr__(result, 'std', math.nan)
        return result

    monkeypatch.setattr(one.trainings, 'read', broken)
    assert one.run(20)
    trials = notes.read_trials(one.trials)
    assert {t.key for t in trials if t.fault} == bad and bad
    assert one.plan().current.heads == {}
    write_report(tmp_path, one.plan(), one.trainings)
    text = (tmp_path / 'verdict.json').read_text()

    def refuse(name):
        raise AssertionError(name)

    report = json.loads(text, parse_constant=refuse)
    assert {row['head'] for row in report['refused']} == bad
