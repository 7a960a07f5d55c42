# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A shipped recipe, or detector, as a training of seconds."""

from argparse import Namespace
from pathlib import Path
from typing import Any

from mmengine.config import Config

from benchmarks.configs import loaders, narrow, without_workers
from nasiam_mm.config_walk import walk

KEPT = 2  # checkpoints of the schedule that a run keeps


def reduce_config(args: Namespace) -> Any:
    """Return the config with every width an eighth, few images, and many checkpoints."""
    cfg = Config.fromfile(args.config)
    narrow(cfg.model, 8)
    without_workers(cfg._cfg_dict)
    cfg.data.root = args.data_root
    for part in walk(cfg._cfg_dict):
        if 'parts' in part:
            part.parts = [(name, args.part) for name in dict(part.parts)]
    for loader in loaders(cfg._cfg_dict):
        loader.batch_size = args.batch_size
    _save_often(cfg, args)
    if cfg.get('probe'):
        cfg.probe.update(interval=2, k=5)
    # Its pictures take longer than an epoch; most kills should meet iterations.
    if 'genotype' in cfg.default_hooks:
        cfg.default_hooks.genotype.interval = args.epochs
    return cfg


def reduce_detector(args: Namespace, data: Path) -> Any:
    """Return the config of a detector with half of its widths, on a small set of images."""
    from nasiam_mm.detection.transfer import set_data_root, set_pretrained

    cfg = Config.fromfile(args.config)
    narrow(cfg.model, 2)
    without_workers(cfg._cfg_dict)
    set_data_root(cfg, data)
    set_pretrained(cfg, None)
    cfg.train_dataloader.batch_size = args.batch_size
    _save_often(cfg, args)
    return cfg


def _save_often(cfg: Any, args: Namespace) -> None:
    """Let a run have few epochs and log, save and evaluate as often as it can."""
    cfg.train_cfg.update(max_epochs=args.epochs)
    if 'val_interval' in cfg.train_cfg:
        cfg.train_cfg.val_interval = 1
    cfg.randomness = dict(seed=0, deterministic=True)
    cfg.env_cfg.dist_cfg = dict(backend='gloo')
    cfg.default_hooks.logger.interval = 1
    cfg.default_hooks.checkpoint.update(
        by_epoch=args.interval == 0, interval=args.interval or 1, max_keep_ckpts=KEPT
    )
