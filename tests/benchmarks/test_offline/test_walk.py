# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A plan is walked in its order, stopped in time, and taken up where it was stopped."""

import subprocess
import sys
import time
from dataclasses import replace

import pytest

from benchmarks.offline.plans import resolve, walk
from benchmarks.papers import execution
from benchmarks.papers.execution import TimeUp
from tests.reduced import ROOT

TRAIN, FEATURES = 'train.py', 'evaluate_features.py'


def heads(tools):
    """Script and head of each call."""
    return [(script, name.split('-')[1]) for script, name in tools.calls]


def test_a_plan_is_walked_in_its_order(tools, items, workshop, capsys):
    outcome = walk(items, workshop)
    assert (outcome.left, outcome.failed, outcome.is_cut) == (0, [], False)
    assert heads(tools) == [
        (TRAIN, 'search'), (TRAIN, 'searched'), (FEATURES, 'searched'),
        (TRAIN, 'standard'), (FEATURES, 'standard'),
    ]  # fmt: skip
    lines = [line for line in capsys.readouterr().out.splitlines() if 'seed 0' in line]
    assert len(lines) == 3 and all(line.startswith('measured') for line in lines)
    assert 'heads: SimSiam standard' in lines[2] and 'knn_fixed_test 40.00' in lines[2]
    tools.calls.clear()
    assert walk(items, workshop).left == 0
    assert tools.calls == []


def test_each_call_goes_on_where_the_last_one_stopped(tools, items, workshop, capsys):
    tools.needs = 2
    limited = replace(workshop, deadline=time.monotonic() + 3600)
    outcomes = [walk(items, limited) for _ in range(4)]
    assert [(o.left, o.is_cut) for o in outcomes] == [(3, True), (2, True), (1, True), (0, False)]
    assert heads(tools) == [
        (TRAIN, 'search'),
        (TRAIN, 'search'), (TRAIN, 'searched'),
        (TRAIN, 'searched'), (FEATURES, 'searched'), (TRAIN, 'standard'),
        (TRAIN, 'standard'), (FEATURES, 'standard'),
    ]  # fmt: skip
    told = capsys.readouterr().out
    assert told.count('train stopped, to go on') == 3
    first = told[: told.index('time is up', told.index('time is up') + 1)].splitlines()
    states = [line.split()[0] for line in first if 'seed 0' in line]
    assert states == ['begun', 'to', 'to']
    assert '0 epochs, 1 iterations saved' in told


def test_nothing_is_begun_after_the_deadline(tools, items, workshop):
    late = replace(workshop, deadline=time.monotonic() - 1)
    outcome = walk(items, late)
    assert (outcome.left, outcome.is_cut, tools.calls) == (3, True, [])


def test_a_run_that_fails_does_not_stop_the_others(tools, items, workshop):
    tools.fails = '-search-'
    outcome = walk(items, workshop)
    assert (outcome.left, outcome.is_cut) == (2, False)
    assert len(outcome.failed) == 2 and 'is not at its end; make it first' in outcome.failed[1]
    assert heads(tools)[-1] == (FEATURES, 'standard')


CODE = """
import pathlib, signal, sys, time
def stop(*_):
    pathlib.Path(sys.argv[1]).write_text('saved')
    sys.exit(143)
signal.signal(signal.SIGTERM, stop)
pathlib.Path(sys.argv[2]).touch()
time.sleep(600)
"""


def test_at_the_deadline_a_real_process_saves_and_ends(items, workshop, tmp_path, monkeypatch):
    job = resolve(items[1], ROOT).jobs[0]
    workshop.of(job).mkdir(parents=True)
    real, saved, ready = execution._run, tmp_path / 'saved', tmp_path / 'ready'

    def run(_, root, console, seconds):
        command = [sys.executable, '-c', CODE, str(saved), str(ready)]
        wait, popen = subprocess.Popen.wait, subprocess.Popen

        def after_it_is_ready(process, timeout=None):
            while timeout is not None and not ready.exists():
                time.sleep(0.01)
            return wait(process, timeout)

        monkeypatch.setattr(popen, 'wait', after_it_is_ready)
        return real(command, root, console, min(seconds, 0.1))

    monkeypatch.setattr(execution, '_run', run)
    limited = replace(workshop, deadline=time.monotonic() + 3600)
    with pytest.raises(TimeUp, match='train stopped, to go on'):
        limited._call(job, 'train', 'script')
    assert saved.read_text() == 'saved'
    assert '"train"' in (workshop.of(job) / 'times.json').read_text()
