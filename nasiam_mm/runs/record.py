# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What a run was made with, and what it logged."""

import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nasiam_mm.version import __version__

PACKAGES = ('torch', 'torchvision', 'onedl-mmengine', 'onedl-mmcv', 'onedl-mmpretrain', 'numpy')


def package_versions(*more: str) -> dict[str, str]:
    """Return the versions of this package and of those that decide a result, and of ``more``."""
    return {'nasiam_mm': __version__, **{name: _version(name) for name in (*PACKAGES, *more)}}


def environment(*more: str) -> dict[str, Any]:
    """Return device and versions.

    Args:
        more: Further distributions whose versions are named.
    """
    import torch

    cores = f'{os.cpu_count()} cores, {torch.get_num_threads()} threads'
    cpu = f'CPU {platform.machine()}, {cores}'
    return {
        'device': torch.cuda.get_device_name() if torch.cuda.is_available() else cpu,
        'versions': package_versions(*more),
    }


def merge_logs(work_dir: Path) -> list[dict[str, Any]]:
    """Join the scalars that mmengine logged, over interruptions.

    What a run logged after its last checkpoint is logged again when it is resumed; the later entry
    counts.

    Args:
        work_dir: Work directory of the run.

    Returns:
        Entries in the order of the first logging.

    Raises:
        FileNotFoundError: If the run has logged nothing.
    """
    entries: dict[tuple, dict[str, Any]] = {}
    for file in sorted(work_dir.glob('*/vis_data/scalars.json')):
        for line in file.read_text(encoding='utf-8').splitlines():
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:
                continue  # the line that a killed run was writing
            entries[entry.get('step'), tuple(sorted(entry))] = entry
    if not entries:
        raise FileNotFoundError(f'{work_dir}: holds no log of a run')
    return list(entries.values())


def training_metrics(log: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the last loss, deviation and kNN of a training log.

    The loss is the mean over what the last epoch logged.
    """
    losses = [entry for entry in log if 'loss' in entry]
    metrics = {}
    if losses:
        last = losses[-1].get('epoch')
        values = [entry['loss'] for entry in losses if entry.get('epoch') == last]
        metrics['loss'] = sum(values) / len(values)
    for metric, name in (
        ('std', 'collapse/std'),
        ('effective_rank', 'collapse/effective_rank'),
        ('knn_val', 'knn/val_top1'),
    ):
        values = [entry[name] for entry in log if name in entry]
        if values:
            metrics[metric] = values[-1]
    return metrics


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return 'absent'
