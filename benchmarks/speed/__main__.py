# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Time the library beside its peers: same images, model, batch and precision, in turn.

pretrain  a step of each framework, against mmpretrain's classes, lightly, solo-learn
views     two views of a batch, against transforms on PIL
decode    ImageNet's views: mmpretrain's pipeline against crops that a device makes views of
search    loading, alpha and weights of an iteration, against pretraining and the authors' code
knn       neighbours in a bank, against faiss
linear    the linear probe of cached features, against scikit-learn
heads     the searched heads alone, with and without fused candidates
runner    what the Runner and the hooks cost per iteration
start     imports, and what comes before the first iteration
memory    peak of a step, each side in a fresh process
scale     peak of the probes as their features grow; up to ImageNet's, 11 GB of disk and minutes
histories what a search's record, health and drawing cost over 1,000 epochs
demo      the demo's iteration: its loader and optimizer against the plain ones, its operators
ceilings  matrix products and copies
epochs    seconds of an epoch in whole runs, on a GPU

On a CPU: CPU time of one thread. What is not asked for, absent or fails is said to be not run. The
last line printed is JSON with every raw figure.

    pip install --no-deps -r benchmarks/requirements.txt
    python -m benchmarks.speed --peers lightly --solo-learn CHECKOUT --nasiam CHECKOUT
"""

import json
import os
import platform
import re
import shlex
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from benchmarks import ROOT
from benchmarks.command import run_module

if TYPE_CHECKING:
    from benchmarks.speed.figures import Measurement
    from benchmarks.speed.setup import Setup

ITEMS = (
    'pretrain', 'views', 'decode', 'search', 'knn', 'linear', 'heads', 'runner', 'start', 'memory',
    'histories', 'demo', 'ceilings', 'epochs', 'scale',
)  # fmt: skip
_PEERS = ('lightly', 'faiss-cpu', 'scikit-learn', 'lightning', 'timm', 'opencv-python', 'pillow')


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument('--items', nargs='+', choices=ITEMS, default=list(ITEMS[:-1]))
    parser.add_argument('--peers', nargs='*', choices=['lightly'], default=[])
    parser.add_argument('--solo-learn', type=Path, metavar='CHECKOUT')
    parser.add_argument('--nasiam', type=Path, metavar='CHECKOUT', help="the authors' code")
    parser.add_argument('--batch-size', type=int, help='default: 32, on a GPU 512')
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--device', choices=['cpu', 'cuda'], default='cpu')
    parser.add_argument(
        '--workers', type=int, default=5, help="loader processes of the authors' code"
    )
    parser.add_argument(
        '--quick', action='store_true', help='an eighth of the widths, batch 8, 2 repetitions'
    )
    parser.add_argument('--out', type=Path, help='JSON file for all figures')
    parser.add_argument('--markdown', type=Path, help='Markdown file for the tables')


def run(args: Namespace) -> None:
    """Measure, print, write.

    Raises:
        ValueError: If there is too little to repeat, or too small a batch.
        RuntimeError: If a GPU is asked for and there is none.
    """
    if args.repeats < 1 or (args.batch_size is not None and args.batch_size < 2):
        raise ValueError('--repeats must be at least 1 and --batch-size at least 2')

    import torch

    from benchmarks.speed.figures import render, render_all
    from benchmarks.speed.setup import CIFAR10_IMAGES, Setup, write_images
    from nasiam_mm.files.atomic import write_json, write_text

    on_gpu = args.device == 'cuda'
    if on_gpu and not torch.cuda.is_available():
        raise RuntimeError('--device cuda: torch sees no GPU here; leave the option out')
    if not on_gpu:
        torch.set_num_threads(1)
    with TemporaryDirectory() as images:
        setup = Setup(
            root=str(ROOT),
            data_root=images,
            batch_size=args.batch_size or (8 if args.quick else 512 if on_gpu else 32),
            repeats=min(args.repeats, 2) if args.quick else args.repeats,
            device=args.device,
            divisor=8 if args.quick else 1,
            images=CIFAR10_IMAGES if on_gpu else 1024 if args.quick else 4096,
            view_images=64 if args.quick else 512,
            iterations=50 if args.quick else 500,
            workers=args.workers,
            lightly='lightly' in args.peers,
            solo_learn=str(args.solo_learn) if args.solo_learn else None,
            nasiam=str(args.nasiam) if args.nasiam else None,
        )
        write_images(Path(images), setup.images)
        facts, found = about(setup), []
        for measurement in run_items(args.items, setup):
            found.append(measurement)
            print(render(measurement), end='\n\n', flush=True)
        facts['load average after'] = about(setup)['load average']
    command = shlex.join(['python', '-m', 'benchmarks.speed', *sys.argv[1:]])
    data = {'command': command, **facts, 'measurements': [each.as_dict() for each in found]}
    if args.markdown is not None:
        write_text(render_all(found, facts, command), args.markdown)
    if args.out is not None:
        write_json(data, args.out)
    print(json.dumps(data))


def run_items(names: Sequence[str], setup: 'Setup') -> Iterator['Measurement']:
    """Measure items in the order given; one that fails says why, and the rest go on."""
    from benchmarks.speed.figures import Measurement
    from nasiam_mm.refusals import one_line

    measures = _measures()
    for name in names:
        if name == 'epochs' and setup.device != 'cuda':
            whole = 'an epoch of a whole run'
            yield Measurement('Epoch', 's', not_run={whole: 'it takes a GPU; give --device cuda'})
            continue
        try:
            yield from measures[name](setup)
        except Exception as error:  # reported, not dropped
            why = f'{type(error).__name__}: {one_line(error)}'
            yield Measurement(name, '', not_run={name: why})


def _measures() -> dict[str, Callable[['Setup'], Iterable['Measurement']]]:
    from benchmarks.speed import (
        clock,
        decode,
        demo,
        histories,
        memory,
        probes,
        scale,
        search,
        start,
        steps,
        views,
        whole_runs,
    )

    return {
        'pretrain': steps.measure_steps,
        'views': views.measure_views,
        'decode': decode.measure_decoding,
        'search': search.measure_search,
        'knn': probes.measure_knn,
        'linear': probes.measure_linear,
        'heads': search.measure_heads,
        'runner': whole_runs.measure_overhead,
        'start': start.measure_start,
        'memory': memory.measure_memory,
        'scale': scale.measure_scale,
        'histories': histories.measure_histories,
        'demo': demo.measure_demo,
        'ceilings': clock.measure_ceilings,
        'epochs': whole_runs.measure_epochs,
    }


def about(setup: 'Setup') -> dict[str, Any]:
    """Describe machine, versions and setup."""
    from nasiam_mm.runs.record import environment

    found = environment(*_PEERS)
    return {
        'device': found['device'],
        'processor': _processor(),
        'load average': ' '.join(f'{load:.1f}' for load in os.getloadavg()),
        'versions': ' '.join(f'{n} {v}' for n, v in found['versions'].items()),
        'python': platform.python_version(),
        'batch size': setup.batch_size,
        'repetitions': setup.repeats,
        'time': 'CUDA events' if setup.device == 'cuda' else 'CPU time of one thread',
    }


def _processor() -> str:
    info = Path('/proc/cpuinfo')
    text = info.read_text(encoding='utf-8', errors='replace') if info.exists() else ''
    name = re.search(r'model name\s*: (.*)', text)
    return name[1] if name else platform.processor() or platform.machine()


if __name__ == '__main__':
    run_module('benchmarks.speed', __doc__, add_arguments, run)
