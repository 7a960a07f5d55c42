# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Kills and resumptions are compared with a run left alone; what one leaves or forgets is found."""

import json
from argparse import ArgumentParser

import pytest
import torch
from mmengine.config import Config

from benchmarks.robustness import __main__ as robustness
from benchmarks.robustness import attempt
from benchmarks.robustness.attempt import Attempt
from benchmarks.robustness.recipe import reduce_config
from nasiam_mm.files.checkpoint import read_checkpoint
from tests.checkpoints import cut, training_state
from tests.reduced import MINI, ROOT

SEARCH = str(ROOT / 'configs/nasiam/simsiam_r18_search_cifar10.py')


class Training:
    """Plays a search of six iterations: it is killed at its fourth, then ends.

    Attributes:
        forgets: Whether a resumed run begins with another total than it saved.
    """

    forgets = False
    processes = 1

    def __init__(self, words, work_dir, processes=1):
        work_dir.mkdir(exist_ok=True)
        self.work_dir, self.log = work_dir, work_dir / f'output_{len(list(work_dir.iterdir()))}.txt'
        self.done = sorted(work_dir.glob('iter_*.pth'))
        self.ended = False

    def train(self, last):
        (self.work_dir / 'owner.lock').touch()
        total = torch.zeros(())
        if self.done:
            total = read_checkpoint(self.done[-1])['state_dict']['total']
        total = total + (self.forgets and bool(self.done))
        for step in range(self.resumed_at(), last):
            total = total + step
            path = self.work_dir / f'iter_{step + 1}.pth'
            torch.save({**training_state(step + 1), 'state_dict': {'total': total}}, path)
            (self.work_dir / 'last_checkpoint').write_text(str(path))
        if last == 6:
            for name in robustness.FILES:
                (self.work_dir / name).write_text(json.dumps(total.item()))

    def wait_for_start(self):
        return True

    def has_ended(self):
        return bool(self.done) or self.ended

    def is_at(self, moment):
        return True

    def send(self, number, target):
        self.train(4)
        self.ended = True
        self.number = number

    def wait(self):
        if self.ended:
            return -self.number
        self.train(6)
        return 0

    def orphans(self):
        return []

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
    monkeypatch.setattr(robustness, 'Attempt', Training)
    monkeypatch.setattr(robustness, 'SIGNALS', {'SIGKILL': 1, 'SIGTERM': 1})
    monkeypatch.setattr(robustness.time, 'sleep', lambda seconds: None)
    monkeypatch.setattr(attempt, 'import_all', lambda: None)
    monkeypatch.setattr(Training, 'forgets', forgets)
    for kills in (2, 3):  # the second goes on
        with pytest.raises(SystemExit) as end:
            robustness.run(parse('--kills', kills, '--work-dir', tmp_path))
        assert end.value.code == int(forgets)
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert summary == json.loads((tmp_path / 'summary.json').read_text())
    # One kill a run: its second process comes to its end.
    assert (summary['kills'], summary['runs']) == (3, 3)
    assert sum(summary['signals'].values()) == 3
    assert summary['identical'] is not forgets
    expected = ['genotype.json', 'alpha.json', 'state_dict.total'] if forgets else []
    assert {line for line in summary['wrong'] if line.startswith('run 3')} == {
        f'run 3: {name}' for name in expected
    }


def test_what_a_run_leaves_or_lacks_is_named(tmp_path):
    for name in ('whole', 'torn'):
        Training([], tmp_path / name).train(6)
    torn = tmp_path / 'torn'
    assert robustness.compare(tmp_path / 'whole', torn) == []
    (torn / 'interrupted.pth').touch()
    (torn / '.iter_6.pth.0f.tmp.pth').touch()
    (torn / 'alpha.json').unlink()
    (torn / 'last_checkpoint').write_text('interrupted.pth')
    left = ['left .iter_6.pth.0f.tmp.pth', 'lacks alpha.json', 'left interrupted.pth']
    assert robustness.compare(tmp_path / 'whole', torn) == [*left, 'last_checkpoint']
    (torn / 'genotype.json').write_text('{')
    cut(torn / 'iter_6.pth')
    torn_files = {line.split(':')[0] for line in robustness.damage(torn)}
    assert torn_files == {'genotype.json', 'iter_6.pth', 'interrupted.pth'}


def test_a_process_of_its_own_tells_its_end_and_leaves_none(tmp_path):
    one = Attempt(['/no/such/config.py'], tmp_path / 'run')
    assert one.wait(60) == 2
    assert 'error: ' in one.text() and not one.wait_for_start()
    assert one.orphans() == []
    # A process that is let in where a run is stopped is a problem.
    [told] = robustness.intrude(['/no/such/config.py'], tmp_path / 'run')
    assert 'another process on its folder ended with 2' in told


@pytest.mark.parametrize('recipe', [SEARCH, 'configs/benchmarks/linear/r18_cifar10_linear.py'])
def test_the_config_is_small_and_saves_often(recipe, tmp_path):
    args = parse('--data-root', MINI, '--batch-size', 4, '--part', 0.1, '--interval', 3)
    args.config = ROOT / recipe
    reduce_config(args).dump(tmp_path / 'reduced.py')
    cfg = Config.fromfile(tmp_path / 'reduced.py')
    assert cfg.model.backbone.base_channels == 8
    assert cfg.train_dataloader.batch_size == 4
    assert MINI in cfg.pretty_text and "data/cifar10'" not in cfg.pretty_text
    assert cfg.default_hooks.checkpoint.interval == 3
