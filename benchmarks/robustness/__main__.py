# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
r"""Kill a training again and again, resume it, and compare its end with that of one left alone.

    python -m benchmarks.robustness configs/nasiam/byol_r18_search_cifar10.py
    python -m benchmarks.robustness configs/nasiam/byol_r18_pretrain_cifar10.py \
        --genotype genotypes/published/simsiam_r18_cifar10.json
    python -m benchmarks.robustness configs/nasiam/simclr_r18_search_cifar10.py --processes 2
    python -m benchmarks.robustness configs/detection/mask-rcnn_r18-fpn_cifar10det_demo.py
    python -m benchmarks.robustness table --interval 0

The config is reduced (an eighth of the widths, few images) and run by ``nasiam train``, a detector
by ``nasiam detect``; a table of two rows by ``benchmarks.papers``. Each kill is SIGKILL, SIGTERM,
or SIGSTOP, after which another process on the folder must be refused, and SIGCONT or SIGKILL; at a
random moment of starting up or training, or while a checkpoint is written, old ones are removed, or
an epoch is evaluated. After each, what lies in the folder must be whole. A run that comes to its
end is compared, its files too, and followed by another until the kills are used up. With a
--work-dir of before it goes on. The last line is JSON, in summary.json too; the exit status is 1
where something was wrong.
"""

import json
import os
import random
import signal
import sys
import time
from argparse import ArgumentParser, Namespace
from collections import Counter
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from mmengine.config import Config

from benchmarks import ROOT
from benchmarks.command import run_module
from benchmarks.robustness.attempt import Attempt, import_all

SIGNALS = {'SIGKILL': 3, 'SIGTERM': 3, 'SIGSTOP SIGCONT': 1, 'SIGSTOP SIGKILL': 1}


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command line."""
    add = parser.add_argument
    add('config', help="config of a search, pretraining, linear evaluation, detector; or 'table'")
    add('--genotype', help='for a pretraining')
    add('--checkpoint', help='for a linear evaluation: one that a pretraining left here')
    add('--processes', type=int, default=1, help='by tools/dist_train.sh where more than 1')
    add('--kills', type=int, default=20)
    add('--seed', type=int, default=0, help='seed of the moments and signals')
    add('--epochs', type=int, default=4)
    add('--batch-size', type=int, default=16)
    add('--part', type=float, default=0.3, help='images of either part, of all')
    add('--interval', type=int, default=2, help='iterations between checkpoints; 0: each epoch')
    add('--data-root', default=str(ROOT / 'data/cifar10'))
    add('--work-dir', help='by default work_dirs/robustness/CONFIG/TIME')


@dataclass
class Kill:
    """One signal: of which run, at which moment, what it ended with, and how far that had got."""

    run: int
    signal: str
    target: str
    moment: str
    status: int
    resumed_at: int
    iteration: int


def find_subject(args: Namespace, work: Path) -> Any:
    """Return what is run, killed and compared."""
    if args.config == 'table':
        from benchmarks.robustness.table import SmallTable

        return SmallTable(args, work)
    from benchmarks.robustness.detection import Detection
    from benchmarks.robustness.training import Training

    is_detector = Config.fromfile(args.config).get('default_scope') == 'mmdet'
    return (Detection if is_detector else Training)(args, work)


def run(args: Namespace) -> None:
    """Run, kill, resume, compare, print."""
    import_all()

    stem = Path(args.config).stem
    work = Path(args.work_dir or f'work_dirs/robustness/{stem}/{time.strftime("%Y%m%d_%H%M%S")}')
    work = work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    subject, record = find_subject(args, work), work / 'kills.jsonl'

    whole = work / 'whole'
    timed = work / 'seconds.json'
    if not timed.exists():
        first, began = subject.begin(whole), time.monotonic()
        wait_for_start(subject, first)
        started = time.monotonic()
        finish(first)
        times = [round(started - began, 2), round(time.monotonic() - started, 2)]
        timed.write_text(json.dumps(times), encoding='utf-8')
    seconds = json.loads(timed.read_text(encoding='utf-8'))
    print(f'uninterrupted: {seconds[0]} s of starting, {seconds[1]} s of training', flush=True)

    lines = record.read_text(encoding='utf-8').splitlines() if record.exists() else []
    found = [json.loads(line) for line in lines]
    kills = [Kill(**entry) for entry in found if 'wrong' not in entry]
    wrong = [entry['wrong'] for entry in found if 'wrong' in entry]
    runs = max((kill.run for kill in kills), default=1) - 1  # the last may be unfinished
    with open(record, 'a', encoding='utf-8') as file:

        def note(entry: dict[str, Any]) -> None:
            print(json.dumps(entry), file=file, flush=True)
            print(*entry.values(), flush=True)

        def complain(problems: list[str]) -> None:
            for problem in problems:
                wrong.append(f'run {runs}: {problem}')
                note({'wrong': wrong[-1]})

        while len(kills) < args.kills or runs < max((kill.run for kill in kills), default=1):
            runs += 1
            torn = work / f'run_{runs}'
            while True:
                attempt = subject.begin(torn)
                draw = random.Random(f'{args.seed}/{stem}/{runs}/{attempt.log.name}')
                ended = False
                while len(kills) < args.kills and not ended:
                    problems: list[str] = []
                    made = kill(subject, attempt, draw, seconds, runs, problems)
                    if made is None:
                        break
                    kills.append(made)
                    note(asdict(made))
                    ended = attempt.has_ended()
                    complain(problems + (subject.damage(torn) if ended else []))
                if not ended:
                    break
            finish(attempt)
            ends = [f'left process {pid}' for pid in attempt.orphans()]
            ends += subject.compare(whole, torn)
            complain(ends)
            print(f'run {runs}: {", ".join(ends[:5]) or "same end"}', flush=True)
    summary = json.dumps(summarise(args, kills, wrong, runs))
    print(summary)
    (work / 'summary.json').write_text(summary + '\n', encoding='utf-8')
    sys.exit(1 if wrong else 0)


def kill(
    subject: Any,
    attempt: Attempt,
    draw: random.Random,
    seconds: list[float],
    run: int,
    problems: list[str],
) -> Kill | None:
    """Send a signal at a random moment; return None where the run came to its end before."""
    name = draw.choices(list(SIGNALS), list(SIGNALS.values()))[0]
    moment = draw.choices(list(subject.moments), list(subject.moments.values()))[0]
    target = draw.choice(['launcher', 'rank', 'all']) if attempt.has_others else 'process'
    starting, training = seconds
    if moment == 'starting':
        time.sleep(draw.uniform(0, starting))
    elif wait_for_start(subject, attempt):
        until = time.monotonic() + draw.uniform(0, training / 4)
        while time.monotonic() < until and not attempt.has_ended():
            time.sleep(0.001)
        watched = moment != 'training'
        while watched and not attempt.has_ended() and not subject.is_at(attempt, moment):
            time.sleep(0.0001)
        if moment == 'evaluating':
            time.sleep(draw.uniform(0, 0.3))
    if attempt.has_ended():
        return None
    status = 0
    numbers = [signal.Signals[each] for each in name.split()]
    if numbers[0] == signal.SIGSTOP:
        target = 'all' if attempt.has_others else target
        attempt.send(numbers[0], target)
        if moment != 'starting' and not attempt.has_ended():
            problems += subject.intrude(attempt.work_dir)
    attempt.send(numbers[-1], target)
    if numbers[-1] != signal.SIGCONT:
        status = attempt.wait()
        # A signal that came too late to be heeded.
        if status == 0:
            return None
        allowed = {-numbers[-1], 143} if numbers[-1] == signal.SIGTERM else {-numbers[-1]}
        if not attempt.has_others and status not in allowed:
            problems.append(f'status {status} after {name}; the output is in {attempt.log}')
        if 'Traceback' in attempt.text():
            problems.append(f'traceback after {name}; the output is in {attempt.log}')
        problems += [f'left process {pid} after {name}' for pid in attempt.orphans()]
    at = (subject.resumed_at(attempt), subject.done(attempt))
    return Kill(run, name, target, moment, status, *at)


def wait_for_start(subject: Any, attempt: Attempt) -> bool:
    """Wait for training, or a table's first run, to begin; return whether it did."""
    while not (started := subject.started in attempt.text()) and not attempt.has_ended():
        time.sleep(0.02)
    return started


def finish(attempt: Attempt) -> None:
    """Wait for the end of training; SystemExit if it fails."""
    if status := attempt.wait():
        raise SystemExit(f'training ended with status {status}; the output is in {attempt.log}')


def summarise(args: Namespace, kills: list[Kill], wrong: list[str], runs: int) -> dict[str, Any]:
    """Return the figures of the last line."""
    counts = {
        f'{part}s': Counter(getattr(kill, part) for kill in kills)
        for part in ('signal', 'target', 'moment')
    }
    return {
        'config': Path(args.config).stem,
        'processes': args.processes,
        'kills': len(kills),
        **counts,
        'lost_iterations': sum(
            max(0, one.iteration - two.resumed_at)
            for one, two in pairwise(kills)
            if one.run == two.run and one.status
        ),
        'runs': runs,
        'identical': not wrong,
        'wrong': wrong,
        'seed': args.seed,
        'interval': args.interval,
    }


if __name__ == '__main__':
    os.environ.setdefault('OMP_NUM_THREADS', '1')
    run_module('benchmarks.robustness', __doc__, add_arguments, run)
