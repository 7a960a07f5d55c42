# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Evaluate a checkpoint as its config says.

Where the config has a test loop (classification, detection), that one runs.
A self-supervised network has none; its backbone is measured by the config's
probe section, on its validation part unless --split test.

python tools/test.py configs/nasiam/simsiam_r18_search_cifar10.py work_dirs/.../epoch_100.pth
"""

import argparse
import json
import os
from collections.abc import Sequence

from mmengine.config import Config

from nasiam_mm.cli.config import (
    add_config_arguments,
    check_checkpoint,
    merge_options,
    read_config,
    set_loader_defaults,
    start_processes_on_cpu,
)
from nasiam_mm.cli.ending import add_traceback_flag, run_tool
from nasiam_mm.files.atomic import atomic_path


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


def evaluate(cfg: Config, checkpoint: str, split: str) -> dict[str, float]:
    """Build the config's network, load the checkpoint into it and measure it.

    Raises:
        ValueError: If the checkpoint is of another network, or the config
            holds nothing to evaluate by.
    """
    from mmengine.registry import RUNNERS
    from mmengine.runner import Runner

    import nasiam_mm.engine  # noqa: F401, for its reading of checkpoints, which runs no code
    from nasiam_mm.probes.feature_sets import load_network, load_strictly
    from nasiam_mm.probes.measure import measure
    from nasiam_mm.probes.section import need_probe

    if cfg.get('test_dataloader'):
        runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
        load_strictly(runner, checkpoint)
        return runner.test()
    need_probe(cfg)
    runner = load_network(cfg, checkpoint)
    # The runner's config, in which the data section is written out.
    probe = need_probe(runner.cfg)
    metrics = measure(runner.model, probe, split, runner.seed)
    figures = '  '.join(f'{name}: {value:.2f}' for name, value in metrics.items())
    runner.logger.info(f'kNN  {figures}  (k {probe.k}, T {probe.temperature})')
    return metrics


def write_metrics(path: str, metrics: dict[str, float]) -> None:
    """Write the metrics as JSON, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(metrics, indent=2) + '\n', encoding='utf-8')


def main(argv: Sequence[str] | None = None) -> None:
    """Evaluate."""
    args = parse_args(argv)
    check_checkpoint(args.checkpoint)
    cfg = read_config(args)
    set_loader_defaults(cfg, pin_memory=not args.no_pin_memory)
    merge_options(cfg, args.cfg_options)

    start_processes_on_cpu(cfg)
    metrics = evaluate(cfg, args.checkpoint, args.split)
    if args.out is not None and int(os.environ.get('RANK', 0)) == 0:
        write_metrics(args.out, metrics)


if __name__ == '__main__':
    run_tool(main)
