# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A work directory has one owner and one live run (contract C13)."""

import json
import os
import signal
import subprocess
import sys

import pytest

from nasiam_mm.files.marks import OWNER
from nasiam_mm.runs.work_dir import claim, hold, own, read_owner, release

RUN = {'optim_wrapper.optimizer.lr': 0.1, 'seed': 0}
OTHER = {**RUN, 'seed': 7}


@pytest.fixture
def owned(tmp_path):
    """A folder that RUN owns, with a checkpoint in it."""
    claim(tmp_path, RUN, resume=False)
    own(tmp_path, RUN)
    (tmp_path / 'epoch_1.pth').touch()
    yield tmp_path
    release(tmp_path)


def test_the_owner_is_told_in_the_folder(owned):
    assert read_owner(owned) == RUN
    assert len(json.loads((owned / OWNER).read_text())['digest']) == 64


def test_another_run_is_refused_with_or_without_resume(owned):
    before = (owned / OWNER).read_bytes()
    for resume in (False, True):
        with pytest.raises(ValueError, match='seed is 0 there and 7 here; take another --work-dir'):
            claim(owned, OTHER, resume)
    assert (owned / OWNER).read_bytes() == before


def test_more_epochs_or_another_rate_need_extend(owned):
    longer = {**RUN, 'train_cfg.max_epochs': 9, 'optim_wrapper.optimizer.lr': 0.2}
    for resume in (False, True):
        with pytest.raises(ValueError, match='go on with it by --resume --extend, or take another'):
            claim(owned, longer, resume)
    with pytest.raises(ValueError, match="is another run's: seed is 0 there and 7 here; take"):
        claim(owned, {**longer, 'seed': 7}, resume=True, extend=True)
    claim(owned, longer, resume=True, extend=True)
    # Its checkpoint may yet be refused.
    assert read_owner(owned) == RUN
    own(owned, longer)
    assert read_owner(owned) == longer


def test_the_same_run_goes_on_by_resume_only(owned):
    claim(owned, RUN, resume=True)
    with pytest.raises(ValueError, match='holds this run already; go on with it by --resume, or'):
        claim(owned, RUN, resume=False)


@pytest.mark.parametrize('name', ['epoch_1.pth', 'genotype.json', 'last_checkpoint'])
def test_what_a_run_without_a_record_left_is_not_written_over(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(ValueError, match=r'holds a run that left no owner.json; go on with it by'):
        claim(tmp_path, RUN, resume=False)
    claim(tmp_path, RUN, resume=True)
    release(tmp_path)


def test_a_run_that_left_nothing_owns_nothing(tmp_path):
    for run in (RUN, OTHER):
        claim(tmp_path, run, resume=False)
        own(tmp_path, run)
    assert read_owner(tmp_path) == OTHER
    release(tmp_path)


HOLDER = """
import multiprocessing, sys, time
from pathlib import Path
from nasiam_mm.runs.work_dir import hold
hold(Path(sys.argv[1]))
worker = multiprocessing.get_context('fork').Process(target=time.sleep, args=(60,), daemon=True)
worker.start()
print(worker.pid, flush=True)
time.sleep(60)
"""


def test_a_live_run_keeps_others_out_and_a_dead_one_does_not(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, '-c', HOLDER, tmp_path], stdout=subprocess.PIPE, text=True
    )
    worker = int(holder.stdout.readline())
    try:
        with pytest.raises(ValueError, match=rf'going on in .* \(process {holder.pid} on .*; wait'):
            claim(tmp_path, RUN, resume=True)
        assert not (tmp_path / OWNER).exists()
        holder.kill()
        holder.wait()
        # Its worker lives on for a while.
        os.kill(worker, 0)
        hold(tmp_path)
    finally:
        release(tmp_path)
        os.kill(worker, signal.SIGKILL)
