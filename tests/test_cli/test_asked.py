# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What is wrong with a command line by itself is said at once, in one line, and without torch.

1. All of it is refused in a process that never imports torch.
2. What is right passes, so that the refusals are of what is wrong.
"""

import json
import re
import subprocess
import sys

import pytest

from nasiam_mm.cli.main import dispatch
from tests.reduced import MINI, ROOT

SEARCH = 'nasiam/simclr_r18_search_cifar10_demo.py'
PRETRAIN = 'nasiam/simclr_r18_pretrain_cifar10_demo.py'
OWN = ['--data', 'photos', '--out', 'out']
STUDY = ['search', SEARCH, '--study', 'a']
# Command line -> what is said; photos/ is a folder, run.pth a file.
REFUSED = {
    'no config': (['search'], 'nothing says what to train; give a CONFIG, or --data'),
    'no such config': (['train', 'nasiam/simclr_r18_serch.py'], 'does not exist; did you mean nas'),
    'both': (['search', SEARCH, '--size', '32'], '--size is for images without a config'),
    'framework': (['search', *OWN, '--framework', 'simclar'], 'did you mean simclr?'),
    'framework of a pretraining': (['pretrain', *OWN, '--framework', 'x'], 'there is no framework'),
    'strategy': (['search', *OWN, '--strategy', 'gdass'], "--strategy: there is no strategy 'gdas"),
    'a study as a strategy': (['search', SEARCH, '--strategy', 'checked'], 'give --study NAME'),
    'strategy file': (['search', SEARCH, '--strategy', 'a/b.py'], "config 'a/b.py' does not exist"),
    'images': (['search', '--data', 'none', '--out', 'o'], "'none' does not exist, or is no fol"),
    'images of a config': (['train', PRETRAIN, '--data', 'none'], 'none: no such folder; name one'),
    'images for results': (['search', '--data', 'photos', '--out', 'photos'], '--out: .photos. is'),
    'validation': (['search', *OWN, '--val', 'none'], "--val: 'none' does not exist"),
    'test': (['search', *OWN, '--test', 'none'], "--test: 'none' does not exist"),
    'labels': (['search', *OWN, '--labels', 'a.csv'], "--labels: 'a.csv' does not exist"),
    'size': (['search', *OWN, '--size', '500'], '--size must be from 32 to 224 pixels, got 500'),
    'backbone': (['search', *OWN, '--backbone', 'dict(3)'], '--backbone: .* is no dict'),
    'seed': (['search', *OWN, '--seed', '-3'], '--seed must be a whole number from 0 to 2.32 - 1'),
    'epochs': (['search', *OWN, '--epochs', '0'], '--epochs must be a whole number from 1, got 0'),
    'epochs twice': (
        ['train', PRETRAIN, '--epochs', '1', '--cfg-options', 'train_cfg.max_epochs=2'],
        '--epochs sets train_cfg.max_epochs: leave it out of --cfg-options',
    ),
    'extend': (['train', PRETRAIN, '--extend'], '--extend goes on with a run: give --resume'),
    'resume': (['train', PRETRAIN, '--resume', 'a.pth'], "checkpoint 'a.pth' does not exist"),
    'checkpoint': (['train', PRETRAIN, '--checkpoint', 'a.pth'], "checkpoint 'a.pth' does not"),
    'genotype': (['train', PRETRAIN, '--genotype', 'g.json'], "--genotype: 'g.json' does not"),
    'seed twice': (
        ['train', PRETRAIN, '--seed', '1', '--cfg-options', 'randomness.seed=2'],
        '--seed sets randomness.seed: leave it out of --cfg-options',
    ),
    'trials twice': (
        [*STUDY, '--trials', '3', '--cfg-options', 'study.trials=5'],
        '--trials sets study.trials: leave it out of --cfg-options',
    ),
    'dealt out': (
        [*STUDY, '--budget', '9', '--cfg-options', 'study=dict(max_seeds=3)'],
        '--budget sets study.max_seeds: leave it out',
    ),
    'seed of a study': (
        [*STUDY, '--seed', '9', '--cfg-options', 'study.seed=3'],
        '--seed sets study.seed: leave it out',
    ),
    'a helper': (['train', PRETRAIN, '--cfg-options', '_a=1'], "nothing reads '_a'"),
    'alone': (['search', SEARCH, '--trials', '3'], '--trials is of a study: give --study NAME'),
    'workers alone': (['search', SEARCH, '--workers', '2'], '--workers is of a study'),
    'name': (['search', SEARCH, '--study', 'a/b'], '--study must be a name of letters'),
    'workers': ([*STUDY, '--workers', '0'], '--workers must be at least 1, got 0'),
    'of a training': ([*STUDY, '--resume'], '--resume is of a single training'),
    'launcher': ([*STUDY, '--launcher', 'pytorch'], '--launcher pytorch: a study trains in one'),
    'trials and budget': ([*STUDY, '--trials', '3', '--budget', '30'], '--trials and --budget: a'),
    'trials': ([*STUDY, '--trials', '-1'], '--trials must be a whole number from 0, got -1'),
    'budget': ([*STUDY, '--budget', '3'], 'study.budget must be an integer from 8, got 3'),
    'timeout': ([*STUDY, '--timeout', 'nan'], '--timeout must be a number of seconds from 0'),
    'storage': ([*STUDY, '--storage', 'mysql://a:b@c'], "--storage 'mysql://a@c': must be postg"),
    'candidate': ([*STUDY, '--candidate', 'c.json'], "--candidate: 'c.json' does not exist"),
    'tested': (['test', 'none.pth'], "checkpoint 'none.pth' does not exist"),
    'no checkpoint': (['test', PRETRAIN], 'is no checkpoint: give one, after its config or alone'),
    'config of a test': (['test', 'a.py', 'run.pth'], "config 'a.py' does not exist"),
    'images of a test': (['test', 'run.pth', '--data', 'none'], 'none: no such folder'),
    'probed': (['probe', 'none.pth'], "checkpoint 'none.pth' does not exist"),
    'fraction': (['probe', 'run.pth', '--val-fraction', '1'], '--val-fraction must be between 0'),
    'k': (['probe', 'run.pth', '--k', '5', '0'], '--k takes whole numbers from 1, got 0'),
    'T': (['probe', 'run.pth', '--temperature', '0'], '--temperature takes 0.002 or more, got 0'),
    'l2': (['probe', 'run.pth', '--l2', '-1'], '--l2 takes numbers from 0, got -1'),
    'labels of a probe': (['probe', 'run.pth', '--fractions', '2'], '--fractions takes numbers'),
    'label seeds': (['probe', 'run.pth', '--label-seeds', '-1'], '--label-seeds takes whole'),
    'embedded': (['embed', 'no', '--data', 'photos', '--out', 'a.npz'], "checkpoint 'no' does not"),
    'table': (['embed', 'run.pth', '--data', 'photos', '--out', 'a.txt'], 'must end in .npz, .csv'),
    'images to embed': (['embed', 'run.pth', '--data', 'no', '--out', 'a.npz'], "'no' does not ex"),
    'batch': (
        ['embed', 'run.pth', '--data', 'photos', '--out', 'a.npz', '--batch-size', '0'],
        '--batch-size must be a whole number from 1, got 0',
    ),
    'exported': (['export', 'none.pth', 'a.pth'], "checkpoint 'none.pth' does not exist"),
    'format': (['export', 'run.pth', 'a.safetensors'], 'for mmengine, give a name that ends in'),
    'config of an export': (['export', 'run.pth', 'a.pth', '--config', 'a.py'], "config 'a.py' d"),
    'reported': (['report', 'none'], "'none' does not exist; name a work directory or a genotype"),
    'page': (['report', 'photos', '--out', 'a.png'], "--out 'a.png' must end in .html"),
    'neighbours': (['report', 'run.pth', '--neighbours'], "--neighbours: 'run.pth' is no work dir"),
    'compared': (['diff', 'photos', 'none'], "'none' does not exist; name a work directory"),
}  # fmt: skip
_CODE = """
import json, sys
from nasiam_mm.cli.main import dispatch
for name, words in json.load(sys.stdin).items():
    try:
        dispatch(words)
        told = ['passed', '']
    except (ValueError, FileNotFoundError) as error:
        told = [type(error).__name__, str(error)]
    heavy = sorted({'torch', 'mmpretrain', 'optuna', 'cv2'} & set(sys.modules))
    print(json.dumps([name, *told, heavy]))
    if heavy:
        break
"""


@pytest.fixture(scope='module')
def said(tmp_path_factory):
    """Case -> kind of the error, its text, and what heavy was imported by then."""
    folder = tmp_path_factory.mktemp('asked')
    (folder / 'photos').mkdir()
    (folder / 'run.pth').touch()
    words = json.dumps({name: words for name, (words, _) in REFUSED.items()})
    done = subprocess.run(
        [sys.executable, '-c', _CODE], input=words, capture_output=True, text=True, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    left = sorted(path.name for path in folder.iterdir())
    rows = {row[0]: row[1:] for row in map(json.loads, done.stdout.splitlines())}
    return rows, left


@pytest.mark.parametrize('name', REFUSED)
def test_refused_without_torch(said, name):
    kind, text, heavy = said[0][name]
    assert heavy == [] and kind in ('ValueError', 'FileNotFoundError')
    found = re.search(REFUSED[name][1], text)
    assert found and '\n' not in text and len(text) < 500, text


def test_nothing_was_written(said):
    assert said[1] == ['photos', 'run.pth']


def test_what_is_right_passes(tmp_path, monkeypatch):
    """The same options with values that are right come to where the config is read."""
    from nasiam_mm.cli.commands import train

    monkeypatch.chdir(tmp_path)
    (tmp_path / 'g.json').write_text('{}')
    reached = []
    monkeypatch.setattr(train, 'configure', lambda args: reached.append(args) or 1 / 0)
    words = [str(ROOT / 'configs' / PRETRAIN), '--data', MINI, '--seed', '3', '--resume']
    words += ['--genotype', 'g.json', '--extend', '--cfg-options', 'train_cfg.max_epochs=2']
    words.append('model=dict(backbone=dict(base_channels=8))')  # is merged: sets no genotype
    with pytest.raises(ZeroDivisionError):
        dispatch(['train', *words])
    with pytest.raises(ZeroDivisionError):
        dispatch(['search', SEARCH, '--strategy', 'gdas'])
    assert [args.seed for args in reached] == [3, None]
