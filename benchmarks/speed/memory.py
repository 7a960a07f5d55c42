# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Peak memory of a step, each side in a fresh process.

python -m benchmarks.speed.memory SETTINGS ITEM SIDE
"""

import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks import ROOT
from benchmarks.speed import search, steps
from benchmarks.speed.figures import Measurement, Ratio, Side
from benchmarks.speed.setup import Setup

PRETRAIN, SEARCH = 'Pretrain step, simsiam', 'Search iteration, simsiam'
RATIOS = {
    PRETRAIN: [
        Ratio('lightly / ours, float32', steps.LIGHTLY, steps.OURS),
        Ratio('lightly / ours, best', steps.LIGHTLY, steps.BEST),
        Ratio('solo-learn / ours, float32', steps.SOLO_LEARN, steps.OURS_NHWC),
    ],
    SEARCH: [
        Ratio("authors' code / ours, float32", search.AUTHORS, search.PUBLISHED),
        Ratio("authors' code / ours, best", search.AUTHORS, search.BEST),
        Ratio('search / pretraining', search.OURS, search.PRETRAINED),
    ],
}


def measure_memory(setup: Setup) -> Iterator[Measurement]:
    """Read the peak of every side that was asked for, one process each."""
    with TemporaryDirectory() as folder:
        names = {
            PRETRAIN: (steps.step_sides('simsiam', setup), steps.absent_peers(setup)),
            SEARCH: (search.iteration_sides(setup, folder), search.absent(setup)),
        }
    for item, (sides, absent) in names.items():
        found = Measurement(f'Peak memory: {item}', 'MiB above the imports', ratios=RATIOS[item])
        found.not_run.update(absent)
        for side in sides:
            if side in absent:
                continue
            command = [sys.executable, '-m', __name__, setup.to_json(), item, side]
            paths = [str(ROOT), os.environ.get('PYTHONPATH')]
            environment = {**os.environ, 'PYTHONPATH': os.pathsep.join(filter(None, paths))}
            done = subprocess.run(command, capture_output=True, text=True, env=environment)
            if done.returncode:
                lines = done.stderr.strip().splitlines() or [f'exit status {done.returncode}']
                found.not_run[side] = lines[-1]
                continue
            peak = json.loads(done.stdout.splitlines()[-1])
            found.sides[side] = Side([peak['peak'] - peak['before']])
        yield found


def peak_of(setup: Setup, item: str, side: str) -> dict[str, float]:
    """Take two steps of a side; return the memory before it was built, and the peak, in MiB."""
    with TemporaryDirectory() as folder:
        builders: dict[str, Callable] = (
            steps.step_sides('simsiam', setup)
            if item == PRETRAIN
            else search.iteration_sides(setup, folder)
        )
        before = 0.0 if setup.device == 'cuda' else peak_resident()
        run = builders[side]()
        run()
        run()
        if setup.device == 'cuda':
            return {'before': before, 'peak': torch.cuda.max_memory_allocated() / 2**20}
        return {'before': before, 'peak': peak_resident()}


def peak_resident() -> float:
    """Return the largest resident size of this process so far, in MiB.

    Linux hands ``ru_maxrss`` of the starting process on to the started one, so
    that the kernel's own mark of this process is read where there is one.
    """
    status = Path('/proc/self/status')
    if status.exists():
        return int(re.search(r'VmHWM:\s+(\d+) kB', status.read_text(encoding='ascii'))[1]) / 2**10
    unit = 1 if sys.platform == 'darwin' else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


if __name__ == '__main__':
    torch.set_num_threads(1)
    print(json.dumps(peak_of(Setup.from_json(sys.argv[1]), *sys.argv[2:4])))
