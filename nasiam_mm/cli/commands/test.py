# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Evaluate a checkpoint as its config says, the one it holds or one that is given.

Where the config has a test loop (classification, detection), that one runs.
A self-supervised network has none; its backbone is measured by the config's
probe section, on its validation part unless --split test.

nasiam test runs/photos
nasiam test work_dirs/.../epoch_100.pth
nasiam test nasiam/simsiam_r18_search_cifar10.py work_dirs/.../epoch_100.pth

A folder stands for the last whole checkpoint in it, or in pretrain/, baseline/ or search/ below.
"""

from argparse import ArgumentParser, Namespace

from mmengine.config import Config

from nasiam_mm.cli import config as settings
from nasiam_mm.cli.evaluated import add_evaluated_arguments, read_evaluated
from nasiam_mm.cli.outputs import check_outputs
from nasiam_mm.console.handler import SHOWN
from nasiam_mm.runs.processes import process_number


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command line."""
    add_evaluated_arguments(parser)
    parser.add_argument('--out', help='JSON file for the metrics')
    told = 'what the nearest neighbours classify; whatever is chosen by a result needs val'
    parser.add_argument('--split', choices=['val', 'test'], default='val', help=told)
    parser.add_argument('--no-pin-memory', action='store_true', help='pin the memory of no loader')


def run(args: Namespace) -> None:
    """Evaluate, and write what came out."""
    check_outputs(args)
    cfg = read_evaluated(args, pin_memory=not args.no_pin_memory)
    check_outputs(args)  # a folder stood for a checkpoint in it
    metrics = evaluate(cfg, args.checkpoint, args.split)
    if args.out is not None and process_number() == 0:
        from nasiam_mm.files.atomic import write_json

        write_json(metrics, args.out)


def evaluate(cfg: Config, checkpoint: str, split: str) -> dict[str, float]:
    """Build the config's network, load the checkpoint into it and measure it."""
    from nasiam_mm.probes.feature_sets import load_probed, load_strictly, measure, tell

    if cfg.get('test_dataloader'):
        runner = settings.build_runner(cfg)
        load_strictly(runner, checkpoint)
        return runner.test()
    settings.start_processes_on_cpu(cfg)
    runner, probe = load_probed(cfg, checkpoint)
    metrics = measure(runner.model, probe, split, runner.seed, runner.cfg)
    vote = f'  (k {probe.k}, T {probe.temperature})' if probe.labelled else ''
    told = f'{"kNN  " if vote else ""}{tell(metrics)}{vote}'
    runner.logger.info(f'{told}; {split} images, {checkpoint}', extra=SHOWN)
    return metrics
