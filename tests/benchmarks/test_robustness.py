# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Kills and resumptions are compared with a run left alone; a resumption that forgets is found."""

import json
import signal
from argparse import ArgumentParser

import pytest
import torch
from mmengine.config import Config

from benchmarks import robustness
from tests.reduced import MINI, ROOT

SEARCH = str(ROOT / 'configs/nasiam/simsiam_r18_search_cifar10.py')


class Training:
    """Plays a run of tools/train.py of six iterations: it is killed at its fourth, then ends.

    Attributes:
        forgets: Whether a resumed run begins with another total than it saved.
    """

    forgets = False

    def __init__(self, config, work_dir):
        work_dir.mkdir(exist_ok=True)
        self.work_dir, self.log = work_dir, work_dir / 'output.txt'
        self.done = sorted(work_dir.glob('iter_*.pth'))
        self.status = None

    def train(self, last):
        total = torch.load(self.done[-1])['state_dict']['total'] if self.done else torch.zeros(())
        total = total + (self.forgets and bool(self.done))
        for step in range(self.resumed_at(), last):
            total = total + step
            state = dict(state_dict={'total': total}, optimizer={}, message_hub={})
            state['meta'] = {'iter': step + 1, 'epoch': 0}
            torch.save(state, self.work_dir / f'iter_{step + 1}.pth')
        if last == 6:
            for name in robustness.FILES:
                (self.work_dir / name).write_text(json.dumps(total.item()))

    def wait_for_start(self):
        return True

    def has_ended(self):
        return bool(self.done)

    def is_writing(self):
        return True

    def end(self, number):
        self.train(4)
        return -number if number == signal.SIGKILL else 143

    def finish(self):
        self.train(6)

    def resumed_at(self):
        return len(self.done)

    def iteration(self):
        return len(list(self.work_dir.glob('iter_*.pth')))


def parse(*argv):
    parser = ArgumentParser()
    robustness.add_arguments(parser)
    return parser.parse_args([SEARCH, *map(str, argv)])


@pytest.mark.parametrize('forgets', [False, True])
def test_a_resumption_that_forgets_is_found(forgets, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(robustness, 'Process', Training)
    monkeypatch.setattr(robustness.time, 'sleep', lambda seconds: None)
    monkeypatch.setattr(Training, 'forgets', forgets)
    with pytest.raises(SystemExit) as end:
        robustness.run(parse('--kills', 3, '--work-dir', tmp_path))
    assert end.value.code == int(forgets)
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    # One kill a run: its second process comes to its end.
    assert (summary['kills'], summary['runs']) == (3, 3)
    assert sum(summary['signals'].values()) == 3
    assert summary['identical'] is not forgets
    expected = ['genotype.json', 'alpha.json', 'state_dict.total'] if forgets else []
    assert summary['differences'] == [f'run {n}: {name}' for n in (1, 2, 3) for name in expected]


def test_the_config_is_small_and_saves_often(tmp_path):
    args = parse('--data-root', MINI, '--batch-size', 4, '--part', 0.1, '--interval', 3)
    robustness.reduce_config(args).dump(tmp_path / 'reduced.py')
    cfg = Config.fromfile(tmp_path / 'reduced.py')
    assert (cfg.model.backbone.base_channels, cfg.model.neck.in_channels) == (8, 64)
    assert cfg.train_dataloader.batch_size == 4
    assert MINI in cfg.pretty_text and "data/cifar10'" not in cfg.pretty_text
    assert cfg.default_hooks.checkpoint.interval == 3
    assert cfg.probe is None and cfg.default_hooks.genotype.interval == 2
