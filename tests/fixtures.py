# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Shared test set-up: one thread, our scope, fresh global state per test; one finished search."""

import fcntl
import os
import re
from pathlib import Path
from unittest import mock

import pytest
import torch
from matplotlib.figure import Figure
from mmengine.registry import DefaultScope, init_default_scope
from yapf.yapflib import yapf_api

import nasiam_mm  # noqa: F401
from nasiam_mm.report.pictures import alpha_curves, genotype_drawing
from nasiam_mm.search import health
from nasiam_mm.search.contributions import contributions
from tests.forked import run_forked
from tests.reduced import ROOT, reduced

_LAY_OUT = yapf_api.FormatCode
_DRAW = {
    genotype_drawing: {'draw_genotype': genotype_drawing.draw_genotype},
    alpha_curves: {'plot_alpha': alpha_curves.plot_alpha},
}


def pytest_configure():
    """Lay no config out: it takes a second, more than most small runs; fixtures run some too.

    And wait for no disk: the machine that runs tests is not cut off from power.
    """
    yapf_api.FormatCode = as_it_is
    os.fsync = lambda handle: None


@pytest.fixture(autouse=True)
def isolated_scope():
    """Pin threads, seed torch and make bare names resolve in our registries."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    DefaultScope._instance_dict.clear()
    init_default_scope('nasiam_mm')
    yield
    DefaultScope._instance_dict.clear()


@pytest.fixture
def drawn():
    """Catch the figures that are saved."""
    figures = []

    def savefig(self, path, **options):
        figures.append(self)
        Path(path).touch()

    with mock.patch.object(Figure, 'savefig', savefig):
        yield figures


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Leave out what most of a small run's time would go to: pictures, the ablation at the end."""
    for module, [name] in _DRAW.items():
        monkeypatch.setattr(module, name, lambda *args: Path(args[-1]).write_bytes(b'drawn'))
    monkeypatch.setattr(health, 'contributions', lambda held_out: (0.0, {'left.out': None}))


@pytest.fixture
def pictures(quick, monkeypatch):
    """Let a run draw."""
    for module, names in _DRAW.items():
        for name, draw in names.items():
            monkeypatch.setattr(module, name, draw)


@pytest.fixture
def ablation(quick, monkeypatch):
    """Let a search tell what each layer contributes."""
    monkeypatch.setattr(health, 'contributions', contributions)


@pytest.fixture
def laid_out(monkeypatch):
    """Let configs be written as they are for a user, laid out."""
    monkeypatch.setattr(yapf_api, 'FormatCode', _LAY_OUT)


def as_it_is(text, style_config, **options):
    """Stand for yapf: blanks around the ``=`` of top-level settings, and the last line ends."""
    return re.sub(r'^(\w+)=', r'\1 = ', text, flags=re.MULTILINE) + '\n', True


@pytest.fixture(scope='session')
def finished_search(tmp_path_factory):
    """Folder of a finished search of two epochs, seed 5, and its config: made once, only read.

    The folder holds ``small.py``, the config, and ``work``; the workers of pytest-xdist share it.
    """
    root = tmp_path_factory.getbasetemp()
    root = root.parent if 'PYTEST_XDIST_WORKER' in os.environ else root
    folder = root / 'finished_search'
    config = folder / 'small.py'
    with open(root / 'finished_search.lock', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / 'work/epoch_2.pth').exists():
            folder.mkdir(exist_ok=True)
            cfg = reduced('nasiam/simclr_r18_search_cifar10_demo', folder / 'work', epochs=2)
            cfg.default_hooks.logger.interval = 1
            cfg.default_hooks.checkpoint.max_keep_ckpts = 2
            cfg.dump(config)
            done = run_forked(ROOT / 'tools/train.py', config, '--seed', 5, OMP_NUM_THREADS='1')
            assert done.returncode == 0, done.stderr
    return folder, config
