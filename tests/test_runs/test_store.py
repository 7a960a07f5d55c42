# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Trainings by digest: a real one, and what happens around one."""

import json
import sys

import pytest
import torch
from mmengine.config import Config

from nasiam_mm.probes.final import read_final
from nasiam_mm.runs.commands import locked
from nasiam_mm.runs.store import RunFailed, RunStopped, RunStore, checkpoint_of, run_digest
from tests.forked import run_forked
from tests.reduced import light, reduced

SCRIPT = """
import json, pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
work = pathlib.Path(sys.argv[3]) / '1/vis_data'
work.mkdir(parents=True, exist_ok=True)
with (work / 'scalars.json').open('a') as log:
    for epoch in 1, 2:
        row = {'loss': 1 / epoch, 'knn/val_top1': 10 * epoch, 'epoch': epoch, 'step': epoch}
        log.write(json.dumps(row) + '\\n')
        log.flush()
        time.sleep(0.5)
"""


def config(tmp_path, seed=0, epochs=2):
    cfg = light(reduced('nasiam/simclr_r18_baseline_cifar10_demo', tmp_path / 'x', epochs))
    cfg.randomness.seed = seed
    return cfg


def played(tmp_path, code=SCRIPT):
    return RunStore(tmp_path / 'runs', (sys.executable, '-c', code))


def test_a_real_training_leaves_what_it_logged_and_its_checkpoint(tmp_path):
    calls = []

    def call(command, console, **_):
        calls.append(command)
        done = run_forked('nasiam_mm', *command[3:])
        console.write(done.stdout + done.stderr)
        return done.returncode

    cfg = config(tmp_path, epochs=1)
    cfg.probe.final = cfg.probe.query.copy()
    for part in (cfg.probe.bank, cfg.probe.query, cfg.probe.final):
        part.dataset = Config(part.dataset.copy())._cfg_dict
        part.dataset.parts = [('train', 100), ('val', 50), ('check', 40)]
    cfg.probe.final.dataset.part = 'check'
    store = RunStore(tmp_path / 'runs', launch=call)
    folder = store.of('standard', cfg)
    seen = []
    row = store.make(folder, cfg, seen.append)
    assert store.make(folder, cfg, seen.append) == row and len(calls) == 1
    assert row['curves']['knn/val_top1'].keys() == {0, 1} and 'loss' in row['curves']
    assert seen[-1] == row['curves']
    checkpoint = torch.load(checkpoint_of(folder, row), weights_only=False)
    assert checkpoint['meta']['epoch'] == 1
    assert len(read_final(folder / 'train/final.json')['correct']) == 40
    assert row['seconds'] > 0 and row['seed'] == 0


def test_the_name_is_a_digest_of_what_decides_the_run(tmp_path):
    store, cfg = played(tmp_path), config(tmp_path)
    name = store.of('head', cfg).name
    assert name == f'head-seed0-{run_digest(cfg)[:12]}'
    cfg.default_hooks.logger.interval = 3
    assert store.of('head', cfg).name == name
    cfg.optim_wrapper.optimizer.lr /= 2
    assert store.of('head', cfg).name != name


def test_a_run_that_is_looked_at_can_be_stopped_and_goes_on(tmp_path):
    store, cfg = played(tmp_path), config(tmp_path)
    folder = store.of('head', cfg)
    with pytest.raises(RunStopped):
        store.make(folder, cfg, lambda curves: 1 in curves.get('loss', {}))
    assert store.row(folder) is None
    row = store.make(folder, cfg, lambda curves: False)
    assert row['curves']['knn/val_top1'] == {1: 10, 2: 20}
    assert json.loads((folder / 'times.json').read_text())['train']['wall'] >= row['seconds'] - 0.1


def test_a_training_that_fails_says_why_and_leaves_no_row(tmp_path):
    store, cfg = played(tmp_path, 'print("error: no room"); raise SystemExit(2)'), config(tmp_path)
    folder = store.of('head', cfg)
    with pytest.raises(RunFailed, match=r'^no room \(.*console.log\)'):
        store.make(folder, cfg)
    assert store.row(folder) is None
    store = played(tmp_path, 'import os; os.kill(os.getpid(), 9)')
    with pytest.raises(RunFailed, match='out of memory'):
        store.make(folder, cfg)


def test_an_interruption_is_none_of_the_heads(tmp_path):
    store, cfg = played(tmp_path, 'raise SystemExit(130)'), config(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        store.make(store.of('head', cfg), cfg)


def test_a_run_that_another_process_is_at_is_left_to_it(tmp_path):
    store, cfg = played(tmp_path), config(tmp_path)
    folder = store.of('head', cfg)
    folder.mkdir(parents=True)
    with locked(folder), pytest.raises(BlockingIOError):
        store.make(folder, cfg)
