# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Time the library beside its peers: same images, model, batch and precision, in turn.

pretrain  a step of each framework, against mmpretrain's classes, lightly, solo-learn
views     two views of a batch, against transforms on PIL
search    loading, alpha and weights of an iteration, against pretraining and the authors' code
heads     the searched heads alone, with and without fused candidates
runner    what the Runner and the hooks cost per iteration
memory    peak of a step, each side in a fresh process
ceilings  matrix products and copies
epochs    seconds of an epoch in whole runs, on a GPU

On a CPU: CPU time of one thread. What is not asked for, absent or fails is said to be not run. The
last line printed is JSON with every raw figure.

    pip install --no-deps -r requirements/benchmarks.txt
    python tools/benchmarks/speed.py --peers lightly --solo-learn CHECKOUT --nasiam CHECKOUT
"""

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from nasiam_mm.cli.ending import add_traceback_flag, run_tool

ROOT = Path(__file__).resolve().parents[2]
ITEMS = ('pretrain', 'views', 'search', 'heads', 'runner', 'memory', 'ceilings', 'epochs')


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--items', nargs='+', choices=ITEMS, default=list(ITEMS))
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
        '--quick', action='store_true', help='a sixteenth of the widths, batch 8, 2 repetitions'
    )
    parser.add_argument('--out', type=Path, help='JSON file for all figures')
    parser.add_argument('--markdown', type=Path, help='Markdown file for the tables')
    add_traceback_flag(parser)
    args = parser.parse_args(argv)
    if args.repeats < 1 or (args.batch_size is not None and args.batch_size < 2):
        parser.error('--repeats must be at least 1 and --batch-size at least 2')
    return args


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    args = parse_args(argv)

    import torch

    from benchmarks.papers.rows import write_json
    from benchmarks.speed.items import about, run_items
    from benchmarks.speed.report import render, render_all
    from benchmarks.speed.settings import CIFAR10_IMAGES, Settings, write_images
    from nasiam_mm.files.atomic import atomic_path

    on_gpu = args.device == 'cuda'
    if on_gpu and not torch.cuda.is_available():
        raise RuntimeError('--device cuda: torch sees no GPU here; leave the option out')
    if not on_gpu:
        torch.set_num_threads(1)
    with TemporaryDirectory() as images:
        settings = Settings(
            root=str(ROOT),
            data_root=images,
            batch_size=args.batch_size or (8 if args.quick else 512 if on_gpu else 32),
            repeats=min(args.repeats, 2) if args.quick else args.repeats,
            device=args.device,
            divisor=16 if args.quick else 1,
            images=CIFAR10_IMAGES if on_gpu else 1024 if args.quick else 4096,
            view_images=64 if args.quick else 512,
            iterations=50 if args.quick else 500,
            workers=args.workers,
            lightly='lightly' in args.peers,
            solo_learn=str(args.solo_learn) if args.solo_learn else None,
            nasiam=str(args.nasiam) if args.nasiam else None,
        )
        write_images(Path(images), settings.images)
        facts, found = about(settings), []
        for measurement in run_items(args.items, settings):
            found.append(measurement)
            print(render(measurement), end='\n\n', flush=True)
        facts['load average after'] = about(settings)['load average']
    command = shlex.join(['python', 'tools/benchmarks/speed.py', *(argv or sys.argv[1:])])
    data = {'command': command, **facts, 'measurements': [each.as_dict() for each in found]}
    if args.markdown is not None:
        args.markdown.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(args.markdown) as path:
            path.write_text(render_all(found, facts, command), encoding='utf-8')
    if args.out is not None:
        write_json(data, args.out)
    print(json.dumps(data))


if __name__ == '__main__':
    run_tool(main)
