# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""tools/train.py and tools/test.py, run as commands.

1. A search trained by the command is measured by tools/test.py as it was at its end.
2. --split test classifies the test images, and only then.
3. --resume and --amp do what they say.
4. Refused inputs are one line and status 2.
"""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from nasiam_mm.cli.ending import run_tool
from nasiam_mm.cli.main import tool
from tests.forked import run_forked
from tests.reduced import ROOT, reduced

TRAIN, TEST = ROOT / 'tools/train.py', ROOT / 'tools/test.py'
PUBLISHED = str(ROOT / 'genotypes/published/simsiam_r18_cifar10.json')
SEARCH = 'nasiam/simclr_r18_search_cifar10_demo'
BASELINE = 'nasiam/simclr_r18_baseline_cifar10_demo'


def run_fresh(script: Path, *argv: object) -> subprocess.CompletedProcess:
    """Run a script as a user does; ``run_forked`` spares the imports."""
    environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT)}
    command = [sys.executable, str(script), *map(str, argv)]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def small_config(name: str, folder: Path) -> Path:
    """Write a reduced config of two epochs."""
    cfg = reduced(name, folder / 'work', epochs=2)
    cfg.default_hooks.logger.interval = 1
    cfg.default_hooks.checkpoint.max_keep_ckpts = 2
    path = folder / 'small.py'
    cfg.dump(path)
    return path


def logged(folder: Path, key: str) -> list[float]:
    (file,) = folder.glob('work/*/vis_data/scalars.json')
    entries = [json.loads(line) for line in file.read_text().splitlines()]
    return [entry[key] for entry in entries if key in entry]


def test_test_repeats_the_last_measure_of_the_training(finished_search, tmp_path):
    folder, config = finished_search
    out = tmp_path / 'results/val.json'
    done = run_fresh(
        TEST, config, folder / 'work/epoch_2.pth', '--work-dir', tmp_path / 't', '--out', out
    )
    assert done.returncode == 0, done.stderr
    metrics = json.loads(out.read_text())
    assert set(metrics) == {'knn/val_top1', 'knn/val_top5'}
    for name, value in metrics.items():
        assert value == pytest.approx(logged(folder, name)[-1], abs=1e-3)
    assert list(out.parent.iterdir()) == [out]


def test_split_test_measures_on_the_test_images(finished_search, tmp_path):
    folder, config = finished_search
    out = tmp_path / 'test.json'
    done = run_forked(
        TEST, config, folder / 'work/epoch_2.pth', '--work-dir', tmp_path / 't',
        '--split', 'test', '--out', out,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert set(json.loads(out.read_text())) == {'knn/test_top1', 'knn/test_top5'}


def test_the_checkpoint_names_the_seed_of_the_command(finished_search):
    folder, _ = finished_search
    checkpoint = torch.load(folder / 'work/epoch_2.pth', weights_only=False)
    assert checkpoint['meta']['seed'] == 5


def test_another_run_is_refused_and_what_is_there_stays(finished_search):
    folder, config = finished_search
    kept = ('small.py', 'epoch_2.pth', 'genotype.json', 'owner.json', 'last_checkpoint')
    files = {folder / 'work' / name: (folder / 'work' / name).read_bytes() for name in kept}
    done = run_forked(TRAIN, config, '--work-dir', folder / 'work', '--seed', 7)
    assert_refused(done, "work' is another run's: seed is 5 there and 7 here; take another")
    done = run_forked(TRAIN, config, '--work-dir', folder / 'work', '--seed', 5)
    assert_refused(done, 'holds this run already; go on with it by --resume')
    assert files == {path: path.read_bytes() for path in files}


def test_resume_goes_on_to_the_same_end(finished_search, tmp_path):
    folder, config = finished_search
    resumed = tmp_path / 'resumed'
    done = run_forked(
        TRAIN, config, '--work-dir', resumed, '--seed', 5,
        '--resume', folder / 'work/epoch_1.pth',
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert 'epoch 2/2: loss' in done.stdout
    assert 'epoch 1/2: loss' not in done.stdout
    ends = [
        torch.load(path / 'epoch_2.pth', weights_only=False)['state_dict']
        for path in (folder / 'work', resumed)
    ]
    torch.testing.assert_close(*ends, rtol=0, atol=0)


def test_amp_trains_in_bfloat16_and_no_validate_measures_nothing(tmp_path):
    config = small_config('nasiam/simclr_r18_baseline_cifar10', tmp_path)
    one_epoch = 'train_cfg.max_epochs=1'
    done = run_forked(TRAIN, config, '--amp', '--no-validate', '--cfg-options', one_epoch)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / 'work/epoch_1.pth').exists()
    assert 'epoch 1/1: loss' in done.stdout and 'kNN' not in done.stdout
    used = Config.fromfile(tmp_path / 'work/small.py')
    assert used.optim_wrapper.type == 'AutocastOptimWrapper'


def test_a_checkpoint_of_another_config_is_refused(finished_search, tmp_path):
    folder, _ = finished_search
    baseline = small_config(BASELINE, tmp_path)
    done = run_forked(TEST, baseline, folder / 'work/epoch_2.pth')
    assert_refused(done, f"checkpoint '{folder}/work/epoch_2.pth' is not of config")


def assert_refused(done: subprocess.CompletedProcess, message: str) -> None:
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.strip()]
    assert line.startswith('error: ')
    assert message in line


@pytest.mark.parametrize(
    ('argv', 'message'),
    [
        (['none.py'], "config 'none.py' does not exist"),
        (['{config}', '--resume', 'none.pth'], "checkpoint 'none.pth' does not exist"),
        (['{config}', '--extend'], '--extend goes on with a run: give --resume as well'),
        (['{config}', '--resume', '{config}'], 'is cut short or damaged'),
        (['{config}', '--genotype', PUBLISHED], 'takes no genotype'),
        (['{config}', '--genotype', 'g.json'], "--genotype: 'g.json' does not exist"),
        (['{bare}', '--auto-scale-lr'], 'add auto_scale_lr=dict(base_batch_size=...)'),
        (['{config}', '--seed', '-1'], '--seed must be a whole number from 0 to 2^32 - 1, got -1'),
        (['{config}', '--seed', '4294967296'], 'from 0 to 2^32 - 1, got 4294967296'),
        (
            ['{config}', '--work-dir', '{folder}/refused', '--cfg-options',
             'default_hooks.alpha_step.optimizer.lr=fast'],
            "AlphaStepHook.optimizer.lr must be a positive number, got 'fast'",
        ),
    ],
)  # fmt: skip
def test_train_refuses_in_one_line(finished_search, tmp_path, monkeypatch, capsys, argv, message):
    _, config = finished_search
    bare = tmp_path / 'bare.py'
    bare.write_text("work_dir = 'refused'\n")
    argv = [text.format(config=config, folder=tmp_path, bare=bare) for text in argv]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        run_tool(partial(tool('train'), argv))
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert end.value.code == 2 and line.startswith('error: ') and message in line
    # Nothing is left of a refused run but its log.
    assert not list(tmp_path.glob('refused/*.pth'))


@pytest.mark.parametrize('name', ['train.py', 'test.py', 'analysis_tools/print_config.py'])
def test_help_names_the_usual_flags(name):
    done = run_fresh(ROOT / 'tools' / name, '--help')
    assert done.returncode == 0
    for flag in ('--work-dir', '--cfg-options', '--launcher', '--local-rank', '--genotype'):
        assert flag in done.stdout
    if name == 'train.py':
        for flag in (
            '--resume', '--amp', '--no-validate', '--auto-scale-lr', '--no-pin-memory',
            '--no-persistent-workers', '--seed',
        ):  # fmt: skip
            assert flag in done.stdout


def test_print_config_shows_what_the_arguments_change():
    done = run_forked(
        ROOT / 'tools/analysis_tools/print_config.py', ROOT / f'configs/{SEARCH}.py',
        '--cfg-options', 'optim_wrapper.optimizer.lr=0.25',
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    printed = Config.fromstring(done.stdout, '.py')
    assert printed.optim_wrapper.optimizer.lr == 0.25
    assert printed.model.neck.type == 'HeadMLP' and printed.model.space
    assert printed.default_scope == 'nasiam_mm'


def test_collect_env_names_the_versions():
    done = run_forked(ROOT / 'tools/analysis_tools/collect_env.py')
    assert done.returncode == 0, done.stderr
    facts = dict(line.split(': ', 1) for line in done.stdout.splitlines() if ': ' in line)
    assert facts['PyTorch'] == torch.__version__
    assert facts['onedl-mmdetection'][0].isdigit()
    assert facts['mmcv compiled ops'] in ('True', 'False')
