# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
r"""Kill a training again and again, resume it, and compare its end with that of one left alone.

    python -m benchmarks.robustness configs/nasiam/byol_r18_search_cifar10.py
    python -m benchmarks.robustness configs/nasiam/byol_r18_pretrain_cifar10.py \
        --genotype genotypes/published/simsiam_r18_cifar10.json
    python -m benchmarks.robustness configs/nasiam/simclr_r18_search_cifar10.py --processes 2

The config is reduced (an eighth of the widths, few images) and run by ``nasiam train``. Each kill
is SIGKILL, SIGTERM, or SIGSTOP, after which another process on the folder must be refused, and
SIGCONT or SIGKILL; at a random moment of starting up or training, or while a checkpoint is written,
old ones are removed, or an epoch is evaluated. After each, what lies in the folder must be whole. A
run that comes to its end is compared, its files too, and followed by another until the kills are
used up. With a --work-dir of before it goes on. The last line is JSON, in summary.json too; the
exit status is 1 where something was wrong.
"""

import json
import os
import random
import re
import signal
import sys
import time
from argparse import ArgumentParser, Namespace
from collections import Counter
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks import ROOT
from benchmarks.command import run_module
from benchmarks.robustness.attempt import Attempt

FILES = ('genotype.json', 'alpha.json')
MOMENTS = {'training': 5, 'writing': 3, 'cleaning': 2, 'evaluating': 2, 'starting': 2}
SIGNALS = {'SIGKILL': 3, 'SIGTERM': 3, 'SIGSTOP SIGCONT': 1, 'SIGSTOP SIGKILL': 1}
# What each run names by its time, and this benchmark's own.
_OWN = re.compile(r'\d{8}_\d{6}.*|output_\d+\.txt')


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command line."""
    add = parser.add_argument
    add('config', help='config of a search, a pretraining or a linear evaluation')
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


def run(args: Namespace) -> None:
    """Run, kill, resume, compare, print."""
    from benchmarks.robustness.attempt import import_all
    from benchmarks.robustness.recipe import reduce_config

    import_all()

    stem = Path(args.config).stem
    work = Path(args.work_dir or f'work_dirs/robustness/{stem}/{time.strftime("%Y%m%d_%H%M%S")}')
    work = work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    config, record = work / 'reduced.py', work / 'kills.jsonl'
    reduce_config(args).dump(config)
    words = [str(config)]
    for name in ('genotype', 'checkpoint'):
        if path := getattr(args, name):
            words += [f'--{name}', str(Path(path).resolve())]

    whole = work / 'whole'
    timed = work / 'seconds.json'
    if not timed.exists():
        first, began = Attempt(words, whole, args.processes), time.monotonic()
        first.wait_for_start()
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

        while len(kills) < args.kills or runs < max((kill.run for kill in kills), default=1):
            runs += 1
            torn = work / f'run_{runs}'
            while True:
                attempt = Attempt(words, torn, args.processes)
                draw = random.Random(f'{args.seed}/{stem}/{runs}/{attempt.log.name}')
                ended = False
                while len(kills) < args.kills and not ended:
                    problems: list[str] = []
                    made = kill(attempt, draw, seconds, runs, words, problems)
                    if made is None:
                        break
                    kills.append(made)
                    note(asdict(made))
                    ended = attempt.has_ended()
                    problems += damage(torn) if ended else []
                    wrong += (these := [f'run {runs}: {problem}' for problem in problems])
                    for problem in these:
                        note({'wrong': problem})
                if not ended:
                    break
            finish(attempt)
            found = [f'left process {pid}' for pid in attempt.orphans()] + compare(whole, torn)
            wrong += (these := [f'run {runs}: {problem}' for problem in found])
            for problem in these:
                note({'wrong': problem})
            print(f'run {runs}: {", ".join(found[:5]) or "same end"}', flush=True)
    summary = json.dumps(summarise(args, kills, wrong, runs))
    print(summary)
    (work / 'summary.json').write_text(summary + '\n', encoding='utf-8')
    sys.exit(1 if wrong else 0)


def kill(
    attempt: Attempt,
    draw: random.Random,
    seconds: list[float],
    run: int,
    words: list[str],
    problems: list[str],
) -> Kill | None:
    """Send a signal at a random moment; return None where the run came to its end before."""
    name = draw.choices(list(SIGNALS), list(SIGNALS.values()))[0]
    moment = draw.choices(list(MOMENTS), list(MOMENTS.values()))[0]
    target = draw.choice(['launcher', 'rank', 'all']) if attempt.processes > 1 else 'process'
    starting, training = seconds
    if moment == 'starting':
        time.sleep(draw.uniform(0, starting))
    elif attempt.wait_for_start():
        until = time.monotonic() + draw.uniform(0, training / 4)
        while time.monotonic() < until and not attempt.has_ended():
            time.sleep(0.001)
        while moment != 'training' and not attempt.has_ended() and not attempt.is_at(moment):
            time.sleep(0.0001)
        if moment == 'evaluating':
            time.sleep(draw.uniform(0, 0.3))
    if attempt.has_ended():
        return None
    status = 0
    numbers = [signal.Signals[each] for each in name.split()]
    if numbers[0] == signal.SIGSTOP:
        target = 'all' if attempt.processes > 1 else target
        attempt.send(numbers[0], target)
        if moment != 'starting' and not attempt.has_ended():
            problems += intrude(words, attempt.work_dir)
    attempt.send(numbers[-1], target)
    if numbers[-1] != signal.SIGCONT:
        status = attempt.wait()
        # A signal that came too late to be heeded.
        if status == 0:
            return None
        allowed = {-numbers[-1], 143} if numbers[-1] == signal.SIGTERM else {-numbers[-1]}
        if attempt.processes == 1 and status not in allowed:
            problems.append(f'status {status} after {name}; the output is in {attempt.log}')
        problems += [f'left process {pid} after {name}' for pid in attempt.orphans()]
    return Kill(run, name, target, moment, status, attempt.resumed_at(), attempt.iteration())


def intrude(words: list[str], folder: Path) -> list[str]:
    """Start another process on the folder of a stopped run; name a problem if it is let in."""
    other = Attempt(words, folder)
    status = other.wait()
    # A single process on the folder of two is another run's besides.
    if status == 2 and any(w in other.text() for w in ('a run is going on in', "is another run's")):
        return []
    return [f'another process on its folder ended with {status}; the output is in {other.log}']


def finish(attempt: Attempt) -> None:
    """Wait for the end of training; SystemExit if it fails."""
    if status := attempt.wait():
        raise SystemExit(f'training ended with status {status}; the output is in {attempt.log}')


def damage(folder: Path) -> list[str]:
    """Name the files of a killed run that are not whole."""
    from nasiam_mm.files.checkpoint import read_checkpoint

    torn = []
    for path in folder.rglob('*'):
        if path.name.startswith('.') or path.suffix not in ('.pth', '.json'):
            continue
        if 'vis_data' in path.parts or re.match(r'\d{8}_', path.parent.name):
            continue  # a log, whose last line may be cut
        try:
            if path.suffix == '.pth':
                read_checkpoint(path, 'cpu')
            else:
                json.loads(path.read_text(encoding='utf-8'))
        except (OSError, ValueError) as error:
            torn.append(f'{path.name}: {error}')
    return torn


def compare(whole: Path, torn: Path) -> list[str]:
    """Name what differs between the ends of two runs, files that one alone has among it."""
    from benchmarks.compare import compare_checkpoints
    from nasiam_mm.runs.work_dir import find_last_checkpoint, hold, release

    there, here = (
        {p.name for p in f.iterdir() if not _OWN.fullmatch(p.name)} for f in (whole, torn)
    )
    found = [f'{"lacks" if name in there else "left"} {name}' for name in sorted(there ^ here)]
    try:
        hold(torn)
        release(torn)
    except ValueError as error:
        found.append(str(error))
    both = [name for name in FILES if name in there & here]
    found += [name for name in both if (whole / name).read_bytes() != (torn / name).read_bytes()]
    last = find_last_checkpoint(whole).path.name
    if Path((torn / 'last_checkpoint').read_text(encoding='utf-8').strip()).name != last:
        found.append('last_checkpoint')
    return found + (compare_checkpoints(whole / last, torn / last) if last in here else [])


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
