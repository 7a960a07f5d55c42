# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Kill a search again and again, resume it, and compare its end with that of one left alone.

    python -m benchmarks.robustness configs/nasiam/byol_r18_search_cifar10.py

The config is reduced (an eighth of the widths, few images) and run by tools/train.py. Each kill
is SIGKILL or SIGTERM, at a random moment of training, of starting up, or just when a checkpoint is
being written; a run that comes to its end is compared and followed by another until the kills are
used up. The last line is JSON; the exit status is 1 where an end differs.
"""

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from argparse import ArgumentParser, Namespace
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks import ROOT
from benchmarks.command import run_module

STARTED = 'Checkpoints will be saved to'
FILES = ('genotype.json', 'alpha.json')


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument('config', help='config of a search')
    parser.add_argument('--kills', type=int, default=20)
    parser.add_argument('--seed', type=int, default=0, help='seed of the moments and signals')
    parser.add_argument('--epochs', type=int, default=4)
    parser.add_argument('--batch-size', type=int, default=16)
    parser.add_argument('--part', type=float, default=0.3, help='images of either part, of all')
    parser.add_argument(
        '--interval', type=int, default=2, help='iterations between checkpoints; 0: each epoch'
    )
    parser.add_argument('--data-root', default=str(ROOT / 'data/cifar10'))
    parser.add_argument('--work-dir', default='work_dirs/kill_and_resume')


@dataclass
class Attempt:
    """One process: how it was ended, and what it had got to."""

    run: int
    signal: str
    moment: str
    status: int
    resumed_at: int
    iteration: int


def run(args: Namespace) -> None:
    """Run, kill, resume, compare, print."""
    began = time.monotonic()
    work = Path(args.work_dir, Path(args.config).stem, time.strftime('%Y%m%d_%H%M%S'))
    work.mkdir(parents=True)
    config = work / 'reduced.py'
    reduce_config(args).dump(config)

    whole = work / 'whole'
    first = Process(config, whole)
    first.wait_for_start()
    seconds = -time.monotonic()
    first.finish()
    seconds += time.monotonic()
    end = last_checkpoint(whole)
    print(f'uninterrupted: {first.iteration()} iterations, {seconds:.1f} s of training', flush=True)

    draw = random.Random(args.seed)
    attempts: list[Attempt] = []
    differences: list[str] = []
    runs = 0
    print(f'{"kill":>4} {"run":>3} {"signal":<8}{"moment":<10}{"status":>6} {"from":>5} {"to":>5}')
    while len(attempts) < args.kills or runs == 0:
        runs += 1
        torn = work / f'run_{runs}'
        while True:
            last = len(attempts) >= args.kills
            process = Process(config, torn)
            if last or not kill(process, draw, seconds, runs, attempts):
                break
            attempt = attempts[-1]
            print(
                f'{len(attempts):>4} {runs:>3} {attempt.signal:<8}{attempt.moment:<10}'
                f'{attempt.status:>6} {attempt.resumed_at:>5} {attempt.iteration:>5}',
                flush=True,
            )
        process.finish()
        found = compare(whole, torn, end)
        differences += [f'run {runs}: {name}' for name in found]
        print(f'run {runs}: {"differs in " + ", ".join(found[:5]) if found else "same end"}')
    print(json.dumps(summarise(args, attempts, differences, runs, time.monotonic() - began)))
    sys.exit(1 if differences else 0)


def kill(
    process: 'Process', draw: random.Random, seconds: float, run: int, attempts: list[Attempt]
) -> bool:
    """End a process at a random moment; return False where it came to its end before."""
    number = draw.choice([signal.SIGKILL, signal.SIGTERM])
    moment = draw.choices(['training', 'writing', 'starting'], [6, 3, 1])[0]
    delay = draw.uniform(0, seconds)
    if moment == 'starting':
        time.sleep(draw.uniform(0, 5))
    elif process.wait_for_start():
        began = time.monotonic()
        while time.monotonic() - began < (delay if moment == 'training' else delay / 2):
            if process.has_ended():
                return False
            time.sleep(0.001 if moment == 'training' else 0)
        while moment == 'writing' and not process.has_ended() and not process.is_writing():
            pass
    if process.has_ended():
        return False
    status = process.end(number)
    # A signal that came too late to be heeded.
    if status == 0:
        return False
    expected = {-number} if number == signal.SIGKILL else {143, -number}
    if status not in expected:
        raise SystemExit(f'unexpected exit status {status}; the output is in {process.log}')
    attempts.append(
        Attempt(run, number.name, moment, status, process.resumed_at(), process.iteration())
    )
    return True


class Process:
    """A run of tools/train.py, which resumes where there is something to resume."""

    def __init__(self, config: Path, work_dir: Path) -> None:
        self.work_dir = work_dir
        work_dir.mkdir(exist_ok=True)
        self.log = work_dir / f'output_{len(list(work_dir.glob("output_*")))}.txt'
        command = [
            sys.executable, ROOT / 'tools/train.py', config, '--work-dir', work_dir, '--resume'
        ]  # fmt: skip
        self.process = subprocess.Popen(
            list(map(str, command)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding='utf-8',
            env={**os.environ, 'OMP_NUM_THREADS': '1'},
        )
        self.lines: list[str] = []
        self._started = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        with open(self.log, 'w', encoding='utf-8') as log:
            for line in self.process.stdout:
                log.write(line)
                self.lines.append(line)
                if STARTED in line:
                    self._started.set()
        self._started.set()

    def wait_for_start(self) -> bool:
        """Wait for training to begin; return whether it did."""
        self._started.wait()
        return any(STARTED in line for line in self.lines)

    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self.process.poll() is not None

    def is_writing(self) -> bool:
        """Whether a checkpoint is being written."""
        return any(entry.name.startswith('.') for entry in os.scandir(self.work_dir))

    def end(self, number: signal.Signals) -> int:
        """Send a signal and wait."""
        self.process.send_signal(number)
        status = self.process.wait()
        self._reader.join()
        return status

    def finish(self) -> None:
        """Wait for the end of training.

        Raises:
            SystemExit: If it fails.
        """
        status = self.process.wait()
        self._reader.join()
        if status:
            raise SystemExit(f'training ended with status {status}; the output is in {self.log}')

    def resumed_at(self) -> int:
        """Return the iteration that the process started from."""
        return int([0, *self._numbers(r'after (\d+) iterations')][-1])

    def iteration(self) -> int:
        """Return how many iterations the run had behind it."""
        logged = re.findall(r'Epoch\(train\)\s+\[(\d+)\]\[\s*(\d+)/(\d+)\]', ''.join(self.lines))
        if not logged:
            return self.resumed_at()
        epoch, batch, length = map(int, logged[-1])
        return (epoch - 1) * length + batch

    def _numbers(self, pattern: str) -> list[int]:
        return [int(number) for number in re.findall(pattern, ''.join(self.lines))]


def reduce_config(args: Namespace) -> Any:
    """Return the config with every width an eighth, few images, and many checkpoints."""
    from mmengine.config import Config

    from benchmarks.configs import loaders, narrow, without_workers
    from nasiam_mm.config_walk import walk

    cfg = Config.fromfile(args.config)
    narrow(cfg.model, 8)
    without_workers(cfg._cfg_dict)
    cfg.data.root = args.data_root
    for part in walk(cfg._cfg_dict):
        if 'parts' in part:
            part.parts = dict.fromkeys(part.parts, args.part)
    for loader in loaders(cfg._cfg_dict):
        loader.batch_size = args.batch_size
    cfg.train_cfg.max_epochs = args.epochs
    cfg.randomness = dict(seed=0, deterministic=True)
    cfg.default_hooks.logger.interval = 1
    cfg.default_hooks.checkpoint.update(
        by_epoch=args.interval == 0, interval=args.interval or 1, max_keep_ckpts=2
    )
    cfg.probe = None
    # Its pictures take longer than an epoch; most kills should meet iterations.
    if 'genotype' in cfg.default_hooks:
        cfg.default_hooks.genotype.interval = 2
    return cfg


def last_checkpoint(work_dir: Path) -> str:
    """Return the name of the checkpoint at the end of a run."""
    from nasiam_mm.runs.work_dir import find_last_checkpoint

    return find_last_checkpoint(work_dir).path.name


def compare(whole: Path, torn: Path, checkpoint: str) -> list[str]:
    """Name what differs between the ends of two runs."""
    from benchmarks.compare import compare_checkpoints

    files = [name for name in FILES if (whole / name).read_bytes() != (torn / name).read_bytes()]
    return files + compare_checkpoints(whole / checkpoint, torn / checkpoint)


def summarise(
    args: Namespace,
    attempts: list[Attempt],
    differences: list[str],
    runs: int,
    seconds: float,
) -> dict[str, Any]:
    """Return the figures of the last line."""
    return {
        'config': Path(args.config).stem,
        'kills': len(attempts),
        'signals': Counter(attempt.signal for attempt in attempts),
        'moments': Counter(attempt.moment for attempt in attempts),
        'lost_iterations': sum(
            max(0, one.iteration - two.resumed_at)
            for one, two in pairwise(attempts)
            if one.run == two.run
        ),
        'runs': runs,
        'identical': not differences,
        'differences': differences,
        'seed': args.seed,
        'interval': args.interval,
        'seconds': round(seconds, 1),
    }


if __name__ == '__main__':
    run_module('benchmarks.robustness', __doc__, add_arguments, run)
