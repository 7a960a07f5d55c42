# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Train and evaluate a detector on a pretrained backbone, checkpoint to table row.

    nasiam detect detection/CONFIG.py CHECKPOINT.pth
    nasiam detect detection/CONFIG.py --random-init

The backbone is exported, its keys and outputs are checked against the checkpoint and inside the
detector, the data is looked through; only then anything is written, and mmdet trains and evaluates.

    work_dir/backbone.pth    the exported backbone
    work_dir/CONFIG.py       the config as run
    work_dir/transfer.json   the run: metrics, digests, seed, versions, times
"""

import time
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from mmengine.config import Config

from nasiam_mm.cli.config import check_seed, merge_options
from nasiam_mm.cli.options import add_cfg_options
from nasiam_mm.cli.outputs import check_outputs, check_own_config
from nasiam_mm.cli.reading import find_config
from nasiam_mm.console.handler import prints_go_to_the_log
from nasiam_mm.console.screen import say
from nasiam_mm.files.atomic import write_json, write_text
from nasiam_mm.files.config_file import config_as_text
from nasiam_mm.versions import require

if TYPE_CHECKING:
    from nasiam_mm.export import PretrainedBackbone


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command line."""
    add = parser.add_argument
    add('config', help='one of configs/detection/')
    add('checkpoint', nargs='?', help='written by mmengine in pretraining')
    add('--data-root', type=Path, help="where the set lies, if not the config's")
    add('--work-dir', type=Path, help='by default work_dirs/<config>')
    add('--pretrain-config', type=Path, help='what trained the checkpoint; else its own copy')
    baseline = "the schedule from random weights, in the checkpoint's architecture if one is given"
    add('--random-init', action='store_true', help=baseline)
    add('--seed', type=int, default=0)
    add('--resume', action='store_true', help='go on from the last checkpoint')
    add('--dry-run', action='store_true', help='check everything, write nothing')
    add_cfg_options(parser)


def run(args: Namespace) -> None:
    """Check everything, then train, unless --dry-run."""
    require('mmdet', 'detection')
    with prints_go_to_the_log():
        cfg, source, data = prepare(args)
        if not args.dry_run:
            train(cfg, source, data, args)


def prepare(args: Namespace) -> tuple[Config, 'PretrainedBackbone | None', str]:
    """Fit the config to the checkpoint and check both and the data; write nothing.

    Returns the config, the backbone, and what the data calls itself; FileNotFoundError or
    ValueError if something is missing, broken, or does not fit.
    """
    if args.checkpoint is None and not args.random_init:
        raise ValueError('no checkpoint; give one, or --random-init for the baseline without')
    check_seed(args.seed)
    args.config = Path(find_config(args.config))
    args.work_dir = args.work_dir or Path('work_dirs', args.config.stem)
    from nasiam_mm.runs.work_dir import EXPORTED

    args.backbone = None if args.random_init else args.work_dir / EXPORTED
    check_outputs(args, ('backbone',))
    from nasiam_mm.export import read_pretrained

    source = read_pretrained(args.checkpoint, args.pretrain_config) if args.checkpoint else None
    from nasiam_mm.detection import transfer  # mmdet takes seconds to import
    from nasiam_mm.unread import find_unread

    cfg = transfer.load_config(args.config, lambda cfg: merge_options(cfg, args))
    # Not all of the config: the helpers of mmdet's own bases are read by none.
    if unread := find_unread(cfg, {key.split('.')[0] for key in args.cfg_options or ()}):
        raise ValueError('; '.join(unread[:3]))
    cfg.work_dir = str(args.work_dir)
    check_own_config(cfg)
    if args.data_root is not None:
        transfer.set_data_root(cfg, args.data_root)
    if source is None:
        transfer.build_detector(cfg)
        return cfg, None, transfer.check_data(cfg)
    transfer.fit_config(cfg, source)
    count = transfer.check_detector(cfg, source)
    data = transfer.check_data(cfg)
    say(f'{source.path}: {count} of {count} backbone keys in the detector, outputs equal')
    return cfg, source, data


def train(cfg: Config, source: 'PretrainedBackbone | None', data: str, args: Namespace) -> None:
    """Write backbone and config, train, evaluate, write and print the row."""
    from nasiam_mm.detection import report, transfer
    from nasiam_mm.export import export_backbone
    from nasiam_mm.runs.identity import run_settings
    from nasiam_mm.runs.work_dir import hold, name_conflict

    work_dir = args.work_dir
    cfg.merge_from_dict({'randomness': {'seed': args.seed}})
    cfg.resume = args.resume or cfg.get('resume', False)
    work_dir.mkdir(parents=True, exist_ok=True)
    # Before anything is written over what another run has there.
    hold(work_dir)
    transfer.set_pretrained(cfg, None)
    if problem := name_conflict(work_dir, run_settings(cfg), cfg.resume, partly=True):
        raise ValueError(problem)
    if source is not None and args.backbone is not None:
        export_backbone(source, args.backbone)
    transfer.set_pretrained(cfg, args.backbone)
    final = work_dir / Path(cfg.filename).name
    write_text(config_as_text(cfg), final)

    wall, process = time.perf_counter(), time.process_time()
    metrics = transfer.train_and_evaluate(final)
    row = report.describe_run(
        data,
        final,
        pretraining='random init' if args.random_init else Path(args.checkpoint).name,
        checkpoint_sha256=None if source is None else source.sha256,
        seed=args.seed,
        metrics=metrics,
        wall_seconds=round(time.perf_counter() - wall, 1),
        process_seconds=round(time.process_time() - process, 1),
    )
    write_json(row, work_dir / 'transfer.json')
    say(f'\n{report.render_table([row])}\n\nwritten: {work_dir / "transfer.json"}')
