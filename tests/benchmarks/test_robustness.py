# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Kills and resumptions are compared with a run left alone; what one leaves or forgets is found."""

import json
import os
from argparse import ArgumentParser

import pytest
import torch
from mmengine.config import Config

from benchmarks.robustness import __main__ as robustness
from benchmarks.robustness import training
from benchmarks.robustness.attempt import Attempt
from benchmarks.robustness.ends import compare_json, damage
from benchmarks.robustness.recipe import reduce_config, reduce_detector
from benchmarks.robustness.table import SmallTable
from benchmarks.robustness.training import Training
from nasiam_mm.files.checkpoint import read_checkpoint
from tests.checkpoints import cut, training_state
from tests.reduced import MINI, ROOT

SEARCH = str(ROOT / 'configs/nasiam/simsiam_r18_search_cifar10.py')
DETECTOR = str(ROOT / 'configs/detection/mask-rcnn_r18-fpn_cifar10det_demo.py')


class Played(Training):
    """Plays searches of six iterations: each is killed at its fourth, then ends.

    Attributes:
        forgets: Whether a resumed run begins with another total than it saved.
    """

    def __init__(self, forgets=False):
        self.forgets = forgets

    def begin(self, folder, processes=None):
        return Going(folder, self.forgets)

    def is_at(self, attempt, moment):
        return True

    def resumed_at(self, attempt):
        return len(attempt.done)

    def done(self, attempt):
        return len(list(attempt.work_dir.glob('iter_*.pth')))


class Going:
    """One of their processes."""

    has_others = False

    def __init__(self, work_dir, forgets):
        work_dir.mkdir(exist_ok=True)
        self.work_dir, self.log = work_dir, work_dir / f'output_{len(list(work_dir.iterdir()))}.txt'
        self.done = sorted(work_dir.glob('iter_*.pth'))
        self.ended, self.forgets = False, forgets

    def train(self, last):
        (self.work_dir / 'owner.lock').touch()
        total = torch.zeros(())
        if self.done:
            total = read_checkpoint(self.done[-1])['state_dict']['total']
        total = total + (self.forgets and bool(self.done))
        for step in range(len(self.done), last):
            total = total + step
            path = self.work_dir / f'iter_{step + 1}.pth'
            torch.save({**training_state(step + 1), 'state_dict': {'total': total}}, path)
            (self.work_dir / 'last_checkpoint').write_text(str(path))
        if last == 6:
            for name in training.FILES:
                (self.work_dir / name).write_text(json.dumps(total.item()))

    def text(self):
        return training.Training.started

    def has_ended(self):
        return bool(self.done) or self.ended

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


def parse(*argv):
    parser = ArgumentParser()
    robustness.add_arguments(parser)
    return parser.parse_args([SEARCH, *map(str, argv)])


@pytest.mark.parametrize('forgets', [False, True])
def test_a_resumption_that_forgets_is_found(forgets, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(robustness, 'find_subject', lambda args, work: Played(forgets))
    monkeypatch.setattr(robustness, 'SIGNALS', {'SIGKILL': 1, 'SIGTERM': 1})
    monkeypatch.setattr(robustness.time, 'sleep', lambda seconds: None)
    monkeypatch.setattr(robustness, 'import_all', lambda: None)
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
        Going(tmp_path / name, False).train(6)
    torn, subject = tmp_path / 'torn', Played()
    assert subject.compare(tmp_path / 'whole', torn) == []
    (torn / 'interrupted.pth').touch()
    (torn / '.iter_6.pth.0f.tmp.pth').touch()
    (torn / 'alpha.json').unlink()
    (torn / 'last_checkpoint').write_text('interrupted.pth')
    left = ['left .iter_6.pth.0f.tmp.pth', 'lacks alpha.json', 'left interrupted.pth']
    assert subject.compare(tmp_path / 'whole', torn) == [*left, 'last_checkpoint']
    (torn / 'genotype.json').write_text('{')
    (torn / 'config.py').write_text('model = dict(')
    cut(torn / 'iter_6.pth')
    torn_files = {line.split(':')[0] for line in damage(torn)}
    assert torn_files == {'genotype.json', 'iter_6.pth', 'interrupted.pth', 'config.py'}


def test_a_process_of_its_own_tells_its_end_and_leaves_none(tmp_path):
    one = Attempt(['train', '/no/such/config.py'], tmp_path / 'run')
    assert one.wait(60) == 2
    assert 'error: ' in one.text()
    assert one.orphans() == []
    # A process that is let in where a run is stopped is a problem.
    subject = object.__new__(Training)
    subject.config, subject.words = '/no/such/config.py', []
    [told] = subject.intrude(tmp_path / 'run')
    assert 'another process on its folder ended with 2' in told


def test_what_of_a_table_is_made_again_or_differs_is_named(tmp_path):
    args = parse('--data-root', MINI, '--interval', 0, '--batch-size', 50)
    subject = SmallTable(args, tmp_path)
    for name, loss in (('whole', 1.0), ('torn', 1.0)):
        run = tmp_path / name / 'runs/one'
        (run / 'train').mkdir(parents=True)
        (run / 'log.jsonl').write_text(f'{{"loss": {loss}, "time": {len(name)}}}\n')
        (run / 'row.json').write_text(json.dumps({'run': 'one', 'wall_seconds': {name: 1}}))
        torch.save(training_state(2), run / 'train/epoch_2.pth')
    whole, torn = tmp_path / 'whole', tmp_path / 'torn'
    assert subject.compare(whole, torn) == []
    row = torn / 'runs/one/row.json'
    row.write_text(json.dumps({'run': 'two'}))
    os.utime(row, ns=(1, 1))
    (torn / 'runs/one/features.new.json').write_text('{}')
    (torn / 'runs/one/console.log').write_text('Traceback')
    (whole / 'runs/one/console.log').touch()
    assert subject.compare(whole, torn) == [
        'written again: runs/one/row.json',
        'left runs/one/features.new.json',
        'runs/one/row.json: row.json',
        'traceback in runs/one/console.log',
    ]


def test_times_are_not_compared_but_figures_are(tmp_path):
    one, other = tmp_path / 'one.json', tmp_path / 'other.json'
    one.write_text('{"metrics": {"a": 1}, "wall_seconds": 1, "log_sha256": "x", "digest": 1}')
    other.write_text('{"metrics": {"a": 1}, "wall_seconds": 2, "log_sha256": "y", "digest": 2}')
    assert compare_json(one, other, 'digest') == []
    assert compare_json(one, other) == ['one.json']


def test_the_detector_is_small_and_saves_often(tmp_path):
    args = parse('--batch-size', 4, '--epochs', 3)
    args.config = DETECTOR
    reduce_detector(args, tmp_path / 'set').dump(tmp_path / 'reduced.py')
    cfg = Config.fromfile(tmp_path / 'reduced.py')
    assert cfg.model.backbone.base_channels == 8 and 'init_cfg' not in cfg.model.backbone
    assert cfg.train_dataloader.dataset.data_root == f'{tmp_path}/set/'
    assert (cfg.train_cfg.max_epochs, cfg.default_hooks.checkpoint.interval) == (3, 2)


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
