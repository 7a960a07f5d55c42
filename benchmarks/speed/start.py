# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What a run costs before its first iteration is made: the imports, and all that comes after."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import ROOT
from benchmarks.speed.clock import now, turns
from benchmarks.speed.figures import Measurement, Ratio, Side
from benchmarks.speed.setup import Setup, write_images

LIBRARIES, ENGINE, HELP = 'torch, torchvision and mmengine', 'nasiam_mm.engine', 'nasiam --help'
# torch.optim imports the compiler as soon as an optimizer is made: no training starts without.
FLOOR, PRINT = 'torch and its compiler', 'nasiam config'
WHOLE, AFTER = "the demo's search to its first iteration", 'of it, after the import'
_FIRST_ITERATION = """
import os, sys
from mmengine.hooks import Hook
from nasiam_mm.engine import NasiamRunner
class Leave(Hook):
    def after_train_iter(self, *args, **kwargs):
        os._exit(0)
honest = NasiamRunner.train
def train(self):
    self.register_hook(Leave(), 'LOWEST')
    return honest(self)
NasiamRunner.train = train
from nasiam_mm.cli.main import dispatch
dispatch(sys.argv[1:])
"""
RATIOS = (
    Ratio('engine / its libraries', ENGINE, LIBRARIES),
    Ratio('engine / 4 s', ENGINE, 4.0, at_most=1.0),
    Ratio('engine / torch and its compiler', ENGINE, FLOOR),
    Ratio('config / 1 s', PRINT, 1.0, at_most=1.0),
    Ratio('help / 0.3 s', HELP, 0.3, at_most=1.0),
    Ratio('to the first iteration, after the import / 6 s', AFTER, 6.0, at_most=1.0),
)


def measure_start(setup: Setup) -> list[Measurement]:
    """Time processes of their own, in turn, by their CPU time on one thread."""
    found = Measurement('Start', 's', ratios=list(RATIOS))
    with TemporaryDirectory() as folder:
        write_images(Path(folder), 12_000)
        options = ['--data', folder, '--work-dir', f'{folder}/work']
        search = ['train', 'nasiam/simclr_r18_search_cifar10_demo.py', *options]
        commands = {
            LIBRARIES: ['-c', 'import torch, torchvision, mmengine.runner, os; os._exit(0)'],
            ENGINE: ['-c', 'import nasiam_mm.engine, os; os._exit(0)'],
            HELP: ['-m', 'nasiam_mm', '--help'],
            PRINT: ['-m', 'nasiam_mm', 'config', 'nasiam/simsiam_r18_search_cifar10.py'],
            FLOOR: ['-c', 'import torch, torch._dynamo, os; os._exit(0)'],
            WHOLE: ['-c', _FIRST_ITERATION, *search, '--cfg-options', 'probe.at_start=False'],
        }
        for name, command in commands.items():
            _spent(command)  # reads the files once
            found.sides[name] = Side()
        for name, command in turns(commands, setup.repeats, found.is_near):
            found.sides[name].samples.append(_spent(command))
    pairs = zip(found.sides[WHOLE].samples, found.sides[ENGINE].samples, strict=True)
    found.sides[AFTER] = Side([whole - engine for whole, engine in pairs])
    return [found]


def _spent(command: Sequence[str]) -> float:
    """Return the CPU time of a process of Python, in s; CalledProcessError where it fails."""
    environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT)}
    begin = now('cpu')
    subprocess.run(
        [sys.executable, *command], check=True, capture_output=True, env=environment, cwd=ROOT
    )
    return now('cpu') - begin
