# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The command that measures a checkpoint on tasks, and a task of one's own beside a config."""

import json

import pytest
from mmengine.config import Config
from mmengine.runner import save_checkpoint

from nasiam_mm.engine.runner import NasiamRunner
from tests.forked import run_forked
from tests.reduced import ROOT, light, reduced

OWN = """
import numpy as np

from benchmarks.tasks.task import OTHER, Pool, task


@task('own', 'is it bright', OTHER)
def own(data, seed):
    labels = np.arange(60) % 2
    images = np.random.default_rng(seed).integers(0, 100, (60, 3, 32, 32), dtype=np.uint8)
    return Pool(images + np.uint8(100) * labels[:, None, None, None].astype(np.uint8), labels)
"""


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """A config with a task beside it, and a checkpoint of its first weights."""
    folder = tmp_path_factory.mktemp('run')
    (folder / 'own_task.py').write_text(OWN)
    cfg = light(reduced('nasiam/simclr_r18_baseline_cifar10_demo', folder / 'work'))
    cfg.dump(folder / 'plain.py')
    runner = NasiamRunner.from_cfg(Config(cfg.to_dict()))
    save_checkpoint({'state_dict': runner.model.state_dict(), 'meta': {}}, str(folder / 'a.pth'))
    cfg.custom_imports = dict(imports=['own_task'])
    cfg.dump(folder / 'config.py')
    return folder


def measure(run, *words):
    return run_forked(
        ROOT / 'benchmarks/tasks/measure.py', 'config.py', 'a.pth', *words, '--work-dir', 'm',
        folder=run, PYTHONPATH=str(run),
    )  # fmt: skip


def test_a_checkpoint_is_measured(run, monkeypatch):
    monkeypatch.syspath_prepend(run)
    out = run / 'out.json'
    done = measure(run, '--tasks', 'own', 'animal_vehicle', '--out', str(out))
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    assert set(found['tasks']) == {'own', 'animal_vehicle'}
    for of in found['tasks'].values():
        assert len(of['linear']) == len(of['knn']) == 3 and len(of['digest']) == 12
    assert found['tasks']['own']['linear'] == [100.0] * 3
    assert 'own: linear 100.00, kNN 100.00' in done.stdout
    again = run / 'again.json'
    assert measure(run, '--tasks', 'animal_vehicle', '--out', str(again)).returncode == 0
    same = json.loads(again.read_text())['tasks']['animal_vehicle']
    assert same == found['tasks']['animal_vehicle']


def test_an_unknown_task_is_one_line(run, monkeypatch):
    monkeypatch.syspath_prepend(run)
    done = measure(run, '--tasks', 'mnist', '--out', 'x.json')
    assert done.returncode == 2 and not (run / 'x.json').exists()
    assert done.stderr.strip().splitlines()[-1].startswith("error: there is no task 'mnist'; there")
