# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The JSON row of a run: what it measured, from what, with what, and the log that proves it."""

import hashlib
import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nasiam_mm.files.atomic import write_text
from nasiam_mm.files.digest import file_digest
from nasiam_mm.version import __version__

_PACKAGES = (
    'torch',
    'torchvision',
    'onedl-mmengine',
    'onedl-mmcv',
    'onedl-mmpretrain',
    'numpy',
)
ROW, LOG = 'row.json', 'log.jsonl'


def read_row(folder: Path, digest: str | None = None) -> dict[str, Any] | None:
    """Read the row of a run, if it stands.

    A row stands only with its logs: one that lacks a log, or has another than
    it was made from, does not count, nor does one of another configuration.

    Args:
        folder: Folder of the run.
        digest: Digest of the run that the row must be of.

    Returns:
        The row, or None.
    """
    try:
        row = json.loads((folder / ROW).read_text(encoding='utf-8'))
        logs = {row['log']: row['log_sha256'], **row.get('measure_logs', {})}
    except (FileNotFoundError, json.JSONDecodeError, KeyError):
        return None
    stands = all(digest_of(folder / name) == sha256 for name, sha256 in logs.items())
    return row if stands and digest in (None, row.get('config_sha256')) else None


def digest_of(path: Path) -> str | None:
    """Return the sha256 of a file; None where there is none."""
    return file_digest(path) if path.is_file() else None


def merge_logs(work_dir: Path) -> list[dict[str, Any]]:
    """Join the scalars that mmengine logged, over interruptions.

    What a run logged after its last checkpoint is logged again when it is
    resumed; the later entry counts.

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


def environment() -> dict[str, Any]:
    """Return device and versions."""
    import torch

    cores = f'{os.cpu_count()} cores, {torch.get_num_threads()} threads'
    cpu = f'CPU {platform.machine()}, {cores}'
    return {
        'device': torch.cuda.get_device_name() if torch.cuda.is_available() else cpu,
        'versions': {'nasiam_mm': __version__, **{name: _version(name) for name in _PACKAGES}},
    }


def write_log(entries: Sequence[Mapping[str, Any]], path: Path) -> str:
    """Write a log as a line of JSON per entry, and return its sha256."""
    text = ''.join(json.dumps(entry) + '\n' for entry in entries)
    write_text(text, path)
    return hashlib.sha256(text.encode()).hexdigest()


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return 'absent'
