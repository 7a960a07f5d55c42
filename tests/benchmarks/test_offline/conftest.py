# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A workshop whose tools are played: what they leave behind is real, the training is not."""

import json
import subprocess
from pathlib import Path

import pytest
import torch

from benchmarks.offline.plans import Item
from benchmarks.papers import execution
from benchmarks.papers.execution import Workshop
from benchmarks.papers.planning import searched_choices
from nasiam_mm.architecture.genotype import random_genotype, save_genotype
from tests.reduced import ROOT


class Tools:
    """Plays ``execution._run``: each training takes ``needs`` calls to end.

    Attributes:
        calls: Script and run folder of each call.
        needs: Calls of tools/train.py that a training takes.
        fails: Part of a run's name; its training fails.
    """

    def __init__(self):
        self.calls, self.needs, self.fails = [], 1, None
        self._begun = {}

    def __call__(self, command, root, console, seconds=None):
        script, config = Path(command[1]).name, Path(command[2])
        self.calls.append((script, config.parent.name))
        console.write('a line of the console\n')
        return getattr(self, script.removesuffix('.py'))(config, command, seconds)

    def train(self, config, command, seconds):
        if self.fails and self.fails in str(config):
            return 2
        work = config.parent / 'train'
        times = self._begun[config] = self._begun.get(config, 0) + 1
        log = work / f'{times}/vis_data/scalars.json'
        log.parent.mkdir(parents=True)
        log.write_text(json.dumps({'loss': 1 / times, 'epoch': 1, 'step': times}) + '\n')
        state = dict(meta=dict(iter=times, epoch=0), state_dict={}, optimizer={}, message_hub={})
        if times < self.needs:
            torch.save(state, work / 'interrupted.pth')
            raise subprocess.TimeoutExpired(command, seconds)
        torch.save(state, work / 'epoch_1.pth')
        if 'search' in config.parent.name.split('-')[1:2]:
            from mmengine.config import Config

            cfg = Config.fromfile(config)
            drawn = random_genotype(cfg.model.type, searched_choices(cfg), 1)
            save_genotype(drawn, work / 'genotype.json')
        return 0

    def evaluate_features(self, config, command, seconds):
        # The standard head is the better one.
        top1 = 40.0 if 'standard' in config.parent.name else 30.0
        few = [{'fraction': 0.01}, {'fraction': 0.1}]
        parts = {name: {'test_top1': top1} for name in ('knn_fixed', 'knn', 'linear_cached')}
        out = Path(command[command.index('--out') + 1])
        out.write_text(json.dumps({'few_labels': few, **parts}))
        return 0


@pytest.fixture
def tools(monkeypatch):
    """The played tools."""
    played = Tools()
    monkeypatch.setattr(execution, '_run', played)
    return played


@pytest.fixture(scope='session')
def items():
    """A plan of two items on one table: the searched head first."""
    return [
        Item('heads', (f'SimSiam {head}',), (0,), 'demo', 1, 1, True)
        for head in ('searched', 'standard')
    ]


@pytest.fixture
def workshop(tmp_path):
    """Where the runs are made, without a deadline."""
    return Workshop(ROOT, tmp_path / 'work/runs')
