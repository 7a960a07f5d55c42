# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Evaluate a checkpoint as its config says.

Where the config has a test loop (classification, detection), that one runs.
A self-supervised network has none; its backbone is measured by the nearest
neighbours of the config's KNNHook, on its validation part unless --split test.

python tools/test.py configs/nasiam/simsiam_r18_search_cifar10.py work_dirs/.../epoch_100.pth
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from nasiam_mm.utils.cli import add_traceback_flag, run_tool
from nasiam_mm.utils.config import (
    add_config_arguments,
    merge_options,
    read_config,
    set_loader_defaults,
    start_processes_on_cpu,
)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_config_arguments(parser)
    parser.add_argument('checkpoint', help='path of the checkpoint')
    parser.add_argument('--out', help='JSON file for the metrics')
    parser.add_argument(
        '--split',
        choices=['val', 'test'],
        default='val',
        help='what the nearest neighbours classify; whatever is chosen by a result needs val',
    )
    parser.add_argument('--no-pin-memory', action='store_true', help='pin the memory of no loader')
    add_traceback_flag(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Evaluate."""
    args = parse_args(argv)
    if not Path(args.checkpoint).is_file():
        raise FileNotFoundError(f"checkpoint '{args.checkpoint}' does not exist")
    cfg = read_config(args)
    set_loader_defaults(cfg, pin_memory=not args.no_pin_memory)
    merge_options(cfg, args.cfg_options)

    from nasiam_mm.engine.knn_test import evaluate_checkpoint, write_metrics

    start_processes_on_cpu(cfg)
    metrics = evaluate_checkpoint(cfg, args.checkpoint, args.split)
    if args.out is not None:
        write_metrics(args.out, metrics)


if __name__ == '__main__':
    run_tool(main)
