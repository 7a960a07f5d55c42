# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Measure a pretrained backbone on downstream tasks, and write the figures as JSON.

    python benchmarks/tasks/measure.py CONFIG CHECKPOINT --tasks cifar10 digits --out FILE

Pools are drawn and split by --task-seed, which is the same for all backbones of a study.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from benchmarks.command import run_module
from nasiam_mm.cli.evaluated import add_evaluated_arguments, read_evaluated


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command line."""
    add_evaluated_arguments(parser)
    parser.add_argument('--tasks', nargs='+', required=True, help='a wrong name lists them')
    parser.add_argument('--task-seed', type=int, default=0, help='of their images and splits')
    parser.add_argument('--out', type=Path, required=True, help='JSON file for the figures')


def run(args: Namespace) -> None:
    """Draw the tasks, extract, classify, write."""
    from benchmarks.tasks.protocol import measure_tasks
    from benchmarks.tasks.settings import PROTOCOL
    from benchmarks.tasks.task import find_tasks
    from nasiam_mm.files.atomic import write_json
    from nasiam_mm.probes.feature_sets import load_probed

    cfg = read_evaluated(args)  # whose custom_imports register tasks of one's own
    tasks = find_tasks(args.tasks)
    data = Path(cfg.data.root)
    pools = {name: of.make(data, args.task_seed) for name, of in tasks.items()}
    runner, _ = load_probed(cfg, args.checkpoint)
    figures = measure_tasks(runner.model, runner.cfg, tasks, pools, args.task_seed)
    write_json(dict(protocol=PROTOCOL, seed=args.task_seed, tasks=figures), args.out)
    for name, of in figures.items():
        print(f'{name}: linear {_mean(of["linear"])}, kNN {_mean(of["knn"])}')


def _mean(values: list[float]) -> str:
    return f'{sum(values) / len(values):.2f}'


if __name__ == '__main__':
    run_module('benchmarks.tasks.measure', __doc__, add_arguments, run)
