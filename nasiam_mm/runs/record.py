# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What a run was made with, and what it logged."""

import json
import os
import platform
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from nasiam_mm.files.regular import read_text
from nasiam_mm.version import __version__
from nasiam_mm.wording import counted

PACKAGES = ('torch', 'torchvision', 'onedl-mmengine', 'onedl-mmcv', 'onedl-mmpretrain', 'numpy')


def package_versions(*more: str) -> dict[str, str]:
    """Return the versions of this package and of those that decide a result, and of ``more``."""
    found = {name: next(iter(distributions(name=name)), None) for name in (*PACKAGES, *more)}
    versions = {name: package.version if package else 'absent' for name, package in found.items()}
    return {'nasiam_mm': __version__, **versions}


def environment(*more: str) -> dict[str, Any]:
    """Return the device, and the versions of :func:`package_versions`."""
    import torch

    cores, threads = os.cpu_count() or 1, torch.get_num_threads()
    cpu = f'CPU {platform.machine()}, {counted(cores, "core")}, {counted(threads, "thread")}'
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else cpu
    return {'device': device, 'versions': package_versions(*more)}


def merge_logs(work_dir: Path) -> list[dict[str, Any]]:
    """Join the scalars that a run logged over interruptions.

    What came after its last checkpoint is logged again by a resumed run; the later entry counts.
    FileNotFoundError if there are none, ValueError if a log is no text or no regular file.
    """
    entries: dict[tuple, dict[str, Any]] = {}
    for file in sorted(work_dir.glob('*/vis_data/scalars.json')):
        for line in read_text(file).splitlines():
            try:
                entry = json.loads(line)
            except (ValueError, RecursionError):
                continue  # the line that a killed run was writing
            if not isinstance(entry, dict) or isinstance(entry.get('step'), (dict, list)):
                continue  # a number may be what is left of a line
            entries[entry.get('step'), tuple(sorted(entry))] = entry
    if not entries:
        raise FileNotFoundError(f'{work_dir}: holds no log of a run')
    return list(entries.values())
