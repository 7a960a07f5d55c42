# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
r"""Kill the workers of a real study again and again, and compare it with one left alone.

    python -m benchmarks.robustness.study --kills 5

Both are ``nasiam search studies/simclr_r18_s_head_cifar10_demo.py`` on CIFAR-10 at 16 pixels with
few epochs and random heads, whose trials are a function of the seed. In the second, workers get
SIGKILL at random moments, and another is started for each. Compared are heads, seeds and scores of
all trials and checks, image by image where the comparison keeps that, what each training logged,
and the verdict. The last line is JSON, in summary.json too; the exit status is 1 where they differ.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from benchmarks import ROOT
from benchmarks.command import run_module
from nasiam_mm.files.atomic import write_json
from nasiam_mm.runs.processes import bound_to_us
from nasiam_mm.runs.record import environment

CONFIG = 'studies/simclr_r18_s_head_cifar10_demo.py'
_TIMES = ('time', 'data_time', 'data_wait', 'memory')  # what two equal runs do not share


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command line."""
    add = parser.add_argument
    add('--kills', type=int, default=5)
    add('--workers', type=int, default=2)
    add('--trials', type=int, default=6)
    add('--epochs', type=int, default=1)
    add('--seed', type=int, default=0, help='seed of the moments')
    add('--data', default=str(ROOT / 'data/cifar10'))
    add('--work-dir', type=Path, default=ROOT / 'work_dirs/robustness/study')


def run(args: Namespace) -> None:
    """Make both studies and compare them."""
    alone, killed = args.work_dir / 'alone', args.work_dir / 'killed'
    say('a study left alone')
    _end_all([_start(args, alone) for _ in range(args.workers)])
    say('a study whose workers are killed')
    kills = _kill_workers(args, killed)
    one, other = _read(alone), _read(killed)
    wrong = [name for name in one if one[name] != other[name]]
    summary = {
        'config': CONFIG,
        'settings': {k: v for k, v in vars(args).items() if k not in ('work_dir', 'data')},
        'kills': kills,
        'trials': len(one['trials']),
        'checks': len(one['checks']),
        'trainings': len(one['logs']),
        'verdict': one['verdict'],
        'different': wrong,
        **environment('optuna'),
    }
    write_json(summary, args.work_dir / 'summary.json')
    print(json.dumps(summary))
    if wrong:
        sys.exit(1)


def _start(args: Namespace, folder: Path) -> subprocess.Popen:
    folder.mkdir(parents=True, exist_ok=True)
    options = {
        'study.sampler.type': 'Random',
        'study.budget': None,
        'study.trials': args.trials,
        'study.max_seeds': 3,
        'train_cfg.max_epochs': args.epochs,
        'model.data_preprocessor.views.size': 16,
        'model.data_preprocessor.eval_size': 16,
    }
    command = [sys.executable, '-m', 'nasiam_mm', 'search', CONFIG, '--study', folder.name]
    command += ['--work-dir', str(folder), '--data', args.data, '--cfg-options']
    command += [f'{name}={value}' for name, value in options.items()]
    variables = {'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT), **bound_to_us()}
    with (folder / 'workers.log').open('a', encoding='utf-8') as log:
        return subprocess.Popen(command, env=variables, stdout=log, stderr=subprocess.STDOUT)


def _kill_workers(args: Namespace, folder: Path) -> list[dict[str, Any]]:
    """Run the study, and kill one worker after the other at random moments."""
    rng = random.Random(args.seed)
    workers = [_start(args, folder) for _ in range(args.workers)]
    kills: list[dict[str, Any]] = []
    while len(kills) < args.kills and any(worker.poll() is None for worker in workers):
        # From within its first imports to some trainings later.
        time.sleep(rng.uniform(10, 90))
        alive = [worker for worker in workers if worker.poll() is None]
        if alive:
            victim = rng.choice(alive)
            os.kill(victim.pid, signal.SIGKILL)
            victim.wait()
            workers.remove(victim)
            workers.append(_start(args, folder))
            kills.append({'after': len(list(folder.glob('runs/*/row.json')))})
            say(f'kill {len(kills)}, after {kills[-1]["after"]} trainings')
    _end_all(workers)
    return kills


def _end_all(workers: list[subprocess.Popen]) -> None:
    statuses = [worker.wait() for worker in workers]
    if any(statuses):
        raise RuntimeError(f'workers ended with {statuses}; see workers.log of the study')


def _read(folder: Path) -> dict[str, Any]:
    """Read what a study is compared by."""
    from nasiam_mm.study import trials as notes
    from nasiam_mm.study.storage import Storage

    storage = Storage(folder, folder.name)
    trials = notes.read_trials(storage.study())
    checks = notes.read_checks(storage.study('checks'))
    files = folder.glob('runs/*/row.json')
    rows = {file.parent.name: json.loads(file.read_text(encoding='utf-8')) for file in files}
    verdict = json.loads((folder / 'verdict.json').read_text(encoding='utf-8'))
    return {
        'trials': sorted((t.key, t.seed, t.state, t.score) for t in trials),
        'checks': sorted((c.phase, c.key, c.seed, c.score, notes.pack(c.correct)) for c in checks),
        'logs': {
            name: {key: curve for key, curve in row['curves'].items() if key not in _TIMES}
            for name, row in rows.items()
        },
        'verdict': verdict['sentence'],
        'test': verdict['test'],
    }


def say(text: str) -> None:
    """Print what is being done."""
    print(text, flush=True)


if __name__ == '__main__':
    run_module('benchmarks.robustness.study', __doc__ or '', add_arguments, run)
