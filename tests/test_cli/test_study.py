# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""``nasiam search --study``: shipped studies, the whole command, and what it refuses."""

import functools
import json
import re
import shlex
import signal
import time
from argparse import ArgumentParser, Namespace
from datetime import datetime
from unittest import mock

import mmcv
import numpy as np
import pytest

from nasiam_mm.architecture.genotype import random_genotype, save_genotype
from nasiam_mm.cli import study as study_module
from nasiam_mm.cli.as_given import command_of
from nasiam_mm.cli.commands import data as describe
from nasiam_mm.cli.commands import search
from nasiam_mm.cli.main import as_main
from nasiam_mm.cli.reading import load_config
from nasiam_mm.cli.stopping import stoppable
from nasiam_mm.models.spaces import choices_of_model
from nasiam_mm.presets import framework_names
from nasiam_mm.runs.store import RunStore
from nasiam_mm.study import pruners, samplers
from nasiam_mm.study.section import read_study
from nasiam_mm.unread import find_unread
from tests.reduced import MINI, ROOT
from tests.test_study.played import COMMAND, written_plainly

FRAMEWORKS = framework_names()
SAMPLERS, PRUNERS = (
    sorted(name for name, one in kind.module_dict.items() if one.__module__.startswith('nasiam_mm'))
    for kind in (samplers.SAMPLERS, pruners.PRUNERS)
)
STUDIES = sorted((ROOT / 'configs/studies').glob('*.py'))
CONFIG = 'studies/simclr_r18_s_head_cifar10_demo.py'
FEW = ['--trials', '3', '--data', MINI]
FEW_OPTIONS = [
    'study.budget=None',
    'study.max_seeds=3',
    'study.images=60',
    'train_cfg.max_epochs=2',
]


def call(*words):
    as_main('', search.add_arguments, search.run)([str(word) for word in words])


@pytest.fixture(autouse=True)
def played(monkeypatch):
    store = functools.partial(RunStore, command=COMMAND)
    monkeypatch.setattr('nasiam_mm.runs.store.RunStore', store)
    monkeypatch.setattr('nasiam_mm.study.jobs.read_test', lambda *_: 44.0)
    monkeypatch.setattr('mmengine.config.Config.pretty_text', property(written_plainly))


@pytest.mark.parametrize('path', STUDIES, ids=lambda path: path.stem)
def test_a_shipped_study_is_read_and_names_what_it_needs(path):
    cfg = load_config(str(path))
    assert find_unread(cfg) == []
    study = read_study(cfg)
    assert study.trials >= 16 and study.max_seeds >= 6
    assert (ROOT / 'configs' / study.baseline).is_file()
    assert f'nasiam search studies/{path.name} --study' in path.read_text()


def test_the_whole_command(tmp_path, capsys):
    words = [CONFIG, '--study', 'heads', '--work-dir', tmp_path, *FEW]
    call(*words, '--cfg-options', *FEW_OPTIONS)
    told = capsys.readouterr().out
    report = json.loads((tmp_path / 'verdict.json').read_text())
    assert report['sentence'] in told and f'everything lies in {tmp_path}' in told
    assert 'heads are compared on 55 of the 83 images of probe.query' in told
    assert report['budget']['epochs'] == 2
    assert report['trials'] == 3 and '--trials 3 ' in report['command']
    names = {path.name for path in tmp_path.iterdir()}
    assert names >= {'table.md', 'scores.png', 'report.html', 'runs'}
    # Again it has nothing to do, and tells the same.
    call(*words, '--cfg-options', *FEW_OPTIONS)
    assert report['sentence'] in capsys.readouterr().out


def test_the_command_of_a_study_is_kept_as_it_was_given():
    words = ['--data', 'my photos', '--out', 'o', '--trials', '3', '--cfg-options', 'a.b=(1, 2)']
    args = Namespace(words=[*words, '--storage', 'postgresql://me:secret@host/db'])
    told = shlex.split(command_of(args))
    assert told == ['nasiam', 'search', *words, '--storage', 'postgresql://me@host/db']
    args = Namespace(words=['--storage=postgresql://host/db?password=secret'])
    assert command_of(args) == 'nasiam search --storage=postgresql://host/db'


def test_the_head_of_a_search_by_gradient_is_held_against_the_standard_one(tmp_path, capsys):
    """By the command that such a search ends with."""
    config = 'nasiam/simclr_r18_search_cifar10_demo.py'
    choices = choices_of_model(load_config(str(ROOT / 'configs' / config)).model)
    save_genotype(random_genotype('SimCLR', choices, 1), tmp_path / 'genotype.json')
    words = [config, '--study', 'a', '--trials', '0', '--candidate', tmp_path / 'genotype.json']
    call(*words, '--work-dir', tmp_path / 'w', '--data', MINI, '--cfg-options', *FEW_OPTIONS)
    report = json.loads((tmp_path / 'w/verdict.json').read_text())
    assert report['budget']['recipe'] == 'simclr_r18_pretrain_cifar10_demo.py'
    assert report['trials'] == 0 and len(report['heads']) == 1
    assert report['sentence'] in capsys.readouterr().out


@pytest.mark.parametrize('framework', FRAMEWORKS)
def test_a_search_of_any_framework_is_checked(framework, tmp_path, capsys):
    """Its recipes pass all checks, with what it found and with what each sampler proposes."""
    config = f'nasiam/{framework}_r18_search_cifar10_demo.py'
    cfg = load_config(str(ROOT / 'configs' / config))
    genotype = random_genotype(cfg.model.type, choices_of_model(cfg.model), 1)
    save_genotype(genotype, tmp_path / 'genotype.json')
    words = [config, '--study', 'checked', '--trials', '2', '--work-dir', tmp_path / 'w']
    words += ['--candidate', tmp_path / 'genotype.json', '--data', MINI]
    number = FRAMEWORKS.index(framework)
    sampler, pruner = (kind[number % len(kind)] for kind in (SAMPLERS, PRUNERS))
    options = ['study.verify=0', f'study.sampler.type={sampler}', f'study.pruner.type={pruner}']
    call(*words, '--cfg-options', *FEW_OPTIONS, *options)
    report = json.loads((tmp_path / 'w/verdict.json').read_text())
    assert report['budget']['recipe'] == f'{framework}_r18_pretrain_cifar10_demo.py'
    assert report['trials'] == 2
    assert report['sentence'] in capsys.readouterr().out


def test_a_folder_without_labels_is_searched_by_what_needs_none(tmp_path, capsys):
    folder = tmp_path / 'photos'
    (folder / 'train').mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (60, 32, 32, 3), dtype=np.uint8)
    for number, image in enumerate(pixels):
        mmcv.imwrite(image, str(folder / f'train/{number}.png'))
    as_main('', describe.add_arguments, describe.run)(['describe', str(folder)])
    words = [CONFIG, '--study', 'a', '--work-dir', tmp_path / 'w', '--data', folder]
    few = ['--trials', '2', '--cfg-options', 'study.max_seeds=3', 'train_cfg.max_epochs=1']
    few += ['train_dataloader.batch_size=16']
    with pytest.raises(ValueError, match='study.objective needs labels, which .*RankMe'):
        call(*words, *few)
    capsys.readouterr()
    call(*words, *few, 'study.objective=RankMe')
    told = capsys.readouterr().out
    assert 'heads are compared on the images that chose them, as those have no labels' in told
    assert 'rankme, mean (seeds)' in told


@pytest.mark.parametrize(
    ('words', 'trials', 'seeds'),
    [([], 18, 6), (['--trials', '40'], 40, 6), (['--budget', '10'], 4, 3)],
)
def test_trials_and_budget_of_the_command_go_before_the_configs(tmp_path, words, trials, seeds):
    parser = ArgumentParser()
    search.add_arguments(parser)
    args = parser.parse_args([CONFIG, '--study', 'a', '--data', MINI, *words])
    section = study_module._section(load_config(str(ROOT / 'configs' / CONFIG)), args)
    assert (section.trials, section.max_seeds) == (trials, seeds)


def test_workers_are_processes_of_the_same_command(tmp_path):
    with (
        mock.patch('nasiam_mm.cli.workers.subprocess.Popen') as popen,
        pytest.raises(ValueError, match="study 'heads': its workers ended before it"),
    ):
        call(CONFIG, '--study', 'heads', '--work-dir', tmp_path, *FEW, '--workers', 2)
    commands = [made.args[0] for made in popen.call_args_list]
    assert [command[-2:] for command in commands] == [['--worker', '1'], ['--worker', '2']]
    assert popen.call_args.kwargs['env']['OMP_NUM_THREADS'] == '1'
    assert set(popen.call_args.kwargs) == {'env'}  # without a terminal they print their lines


def clock(text):
    return datetime.strptime(text, '%Y-%m-%d %H:%M:%S').timestamp()


def test_it_ends_when_its_time_is_over_and_says_so_before_and_after(tmp_path, capsys):
    begun = time.time()
    call(CONFIG, '--study', 'heads', '--work-dir', tmp_path, *FEW, '--timeout', '0')
    told = capsys.readouterr().out
    at = r'(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)'
    first = re.search(f'^--timeout 0: nothing new is taken up after {at}; what runs', told, re.M)
    last = re.search(f'^stopped by --timeout 0, whose time was over at {at}; the same', told, re.M)
    assert begun - 1 <= clock(first[1]) == clock(last[1]) <= time.time()
    assert told.index(first[0]) < told.index(last[0]) and 'goes on (0 of 3 trials)' in told
    assert not (tmp_path / 'verdict.json').exists()


def test_workers_have_one_end_of_their_time(tmp_path, capsys):
    before = time.time()
    with mock.patch('nasiam_mm.cli.workers.subprocess.Popen') as popen:
        popen.return_value.wait.side_effect = lambda: time.sleep(0.3)
        words = [CONFIG, '--study', 'heads', '--work-dir', tmp_path, *FEW, '--workers', 2]
        call(*words, '--timeout', '0.5')
    commands = [made.args[0] for made in popen.call_args_list]
    ends = {float(command[command.index('--until') + 1]) for command in commands}
    assert len(commands) == 2 and len(ends) == 1 and before < min(ends) <= time.time()
    told = capsys.readouterr().out
    assert told.count('nothing new is taken up after') == told.count('stopped by --timeout') == 1


@pytest.mark.parametrize(
    ('words', 'told'),
    [
        (['--trials', '3'], '--trials is of a study: give --study NAME as well'),
        (['--workers', '2'], '--workers is of a study'),
        (['--study', 'a/b'], '--study must be a name of letters'),
        (['--study', 'a', '--workers', '0'], '--workers must be at least 1'),
        (['--study', 'a', '--resume'], '--resume is of a single training'),
        (['--study', 'a', '--amp'], '--amp is of a single training'),
        (['--study', 'a', '--launcher', 'pytorch'], '--launcher pytorch: a study trains in one'),
        (['--study', 'a', '--strategy', 'gdas'], '--strategy is of a single training'),
        (['--study', 'a', '--trials', '3', '--budget', '30'], '--trials and --budget: a budget'),
        (['--study', 'a', '--cfg-options', 'study.verify=2'], 'study.budget deals out study.ver'),
        (['--study', 'a', '--budget', '3'], 'study.budget must be an integer from 8, got 3'),
        (['--study', 'a', '--storage', 'mysql://x'], "--storage 'mysql://x': must be postgresql:"),
        (['--study', 'a', '--candidate', 'none.json'], 'none.json'),
        (['--study', 'a', '--cfg-options', 'study.trails=3'], 'study.trails is no setting; did '),
        (['--study', 'a', '--cfg-options', 'study.objective=nn'], "there is no measure 'nn'"),
        (['--study', 'a', '--cfg-options', 'study.sampler.type=Nn'], "'Nn'"),
        (['--study', 'a', '--cfg-options', 'study.limits.size=3'], 'study.limits.size is none of'),
        (['--study', 'a', '--cfg-options', 'train_cfg.max_epoch=3'], 'max_epoch'),
        (['--study', 'a', '--cfg-options', 'study.baseline=nasiam/byol_r18_baseline_cifar10.py'],
         'the standard head is a BYOL, the recipe a SimCLR'),
    ],
)  # fmt: skip
def test_what_makes_no_study_is_refused_in_a_line(tmp_path, words, told, capsys):
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        call(CONFIG, '--work-dir', tmp_path / 'w', '--data', MINI, *words)
    assert told in str(error.value)
    assert '\n' not in str(error.value) and len(str(error.value)) <= 500


def test_a_config_without_a_standard_head_or_a_space_says_what_is_missing(tmp_path):
    words = ['--study', 'a', '--work-dir', tmp_path, '--data', MINI]
    with pytest.raises(ValueError, match='does not say what the standard head is; add study='):
        call('heads/simclr_r18_s_head_cifar10_demo.py', *words)
    with pytest.raises(ValueError, match='no model.space'):
        call('nasiam/simclr_r18_baseline_cifar10_demo.py', *words)


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_study_that_is_stopped_says_what_goes_on_with_it(capsys, number, request):
    # A process of the background ignores SIGINT.
    was = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, was))
    before = signal.getsignal(signal.SIGTERM)
    kind = SystemExit if number == signal.SIGTERM else KeyboardInterrupt
    with pytest.raises(kind) as end, stoppable('w/heads', 'nasiam search --study heads'):
        signal.raise_signal(number)
    told = capsys.readouterr().out if number == signal.SIGTERM else str(end.value)
    assert told.startswith(f'{number.name}: stopped; what was measured is kept in w/heads')
    assert told.rstrip().endswith('go on with: nasiam search --study heads')
    assert number == signal.SIGINT or end.value.code == 143
    assert signal.getsignal(signal.SIGTERM) == before
