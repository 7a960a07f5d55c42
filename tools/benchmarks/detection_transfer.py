# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Train and evaluate a detector on a pretrained backbone, checkpoint to table row.

    python tools/benchmarks/detection_transfer.py configs/detection/CONFIG.py CHECKPOINT.pth
    python tools/benchmarks/detection_transfer.py configs/detection/CONFIG.py --random-init

The backbone is exported, its keys and outputs are checked against the checkpoint and inside the
detector, the data is looked through, the final config is written, then mmdet trains and evaluates.
A bad checkpoint, annotation file or image gives one line, and nothing is written.

    work_dir/backbone.pth    the exported backbone
    work_dir/CONFIG.py       the config as run
    work_dir/transfer.json   the run: metrics, digests, seed, versions, times
"""

import argparse
import importlib.util
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config, DictAction

from nasiam_mm.cli.ending import add_traceback_flag, run_tool
from nasiam_mm.export import PretrainedBackbone, export_backbone, read_pretrained


@dataclass(frozen=True)
class Prepared:
    """A run whose every part has been checked."""

    cfg: Config
    source: PretrainedBackbone | None
    data: str


def prepare(args: argparse.Namespace) -> Prepared:
    """Fit the config to the checkpoint and check both and the data; write nothing.

    Raises:
        FileNotFoundError: If a config, checkpoint, annotation file or image is missing.
        ValueError: If one of them is broken, or they do not fit each other.
    """
    if args.checkpoint is None and not args.random_init:
        raise ValueError('no checkpoint; give one, or --random-init for the baseline without')
    if not 0 <= args.seed < 2**32:
        raise ValueError(f'--seed {args.seed}: give a whole number from 0 to 2^32 - 1')
    source = None
    if args.checkpoint is not None:
        source = read_pretrained(args.checkpoint, args.pretrain_config)
    from nasiam_mm.detection import transfer  # mmdet takes seconds to import

    cfg = transfer.load_config(args.config, args.cfg_options)
    if args.data_root is not None:
        transfer.set_data_root(cfg, args.data_root)
    if source is None:
        transfer.build_random(cfg)
        data = transfer.check_data(cfg)
        return Prepared(cfg, source, data)
    transfer.fit_config(cfg, source)
    count = transfer.check_detector(cfg, source)
    data = transfer.check_data(cfg)
    print(f'{source.path}: {count} of {count} backbone keys in the detector, outputs equal')
    return Prepared(cfg, source, data)


def run(prepared: Prepared, args: argparse.Namespace) -> None:
    """Write backbone and config, train, evaluate, write and print the row."""
    from nasiam_mm.detection import report, transfer

    cfg, source = prepared.cfg, prepared.source
    work_dir = args.work_dir or Path('work_dirs', args.config.stem)
    work_dir.mkdir(parents=True, exist_ok=True)
    weights = None if args.random_init else work_dir / 'backbone.pth'
    if weights is not None:
        export_backbone(source, weights)
    transfer.set_pretrained(cfg, weights)
    cfg.merge_from_dict(
        {'work_dir': str(work_dir), 'randomness': {'seed': args.seed}, 'resume': args.resume}
    )
    final = transfer.write_config(cfg, work_dir)

    wall, process = time.perf_counter(), time.process_time()
    metrics = transfer.train_and_evaluate(final)
    row = report.describe_run(
        prepared.data,
        final,
        'random init' if args.random_init else Path(args.checkpoint).name,
        None if source is None else source.sha256,
        args.seed,
        metrics,
        time.perf_counter() - wall,
        time.process_time() - process,
    )
    report.write_json(row, work_dir / 'transfer.json')
    print(f'\n{report.render_table([row])}\n\nwritten: {work_dir / "transfer.json"}')


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', type=Path, help='one of configs/detection/')
    parser.add_argument(
        'checkpoint',
        nargs='?',
        help='written by mmengine in pretraining; --random-init can do without',
    )
    parser.add_argument('--data-root', type=Path, help="where the set lies, if not the config's")
    parser.add_argument('--work-dir', type=Path, help='by default work_dirs/<config>')
    parser.add_argument(
        '--pretrain-config', type=Path, help='what trained the checkpoint; by default its own copy'
    )
    parser.add_argument(
        '--random-init',
        action='store_true',
        help='the baseline: the schedule from random weights; the architecture is that of the '
        "checkpoint, or the config's where none is given",
    )
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--resume', action='store_true', help='go on from the last checkpoint')
    parser.add_argument('--dry-run', action='store_true', help='check everything, write nothing')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE')
    add_traceback_flag(parser)
    args = parser.parse_args(argv)
    if importlib.util.find_spec('mmdet') is None:
        raise ModuleNotFoundError(
            "mmdet is not installed and detection needs it; pip install 'nasiam_mm[detection]'"
        )
    prepared = prepare(args)
    if not args.dry_run:
        run(prepared, args)


if __name__ == '__main__':
    run_tool(main)
