# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What of an export or an extraction cannot be, whatever the checkpoint: said without torch."""

import importlib
import os
from pathlib import Path
from typing import Any

LAYOUTS = ('mmengine', 'torchvision', 'timm')
TABLES = ('.npz', '.csv', '.parquet')


def check_target(out: Path | str, layout: str) -> None:
    """Refuse, with a ValueError, a layout that there is not, or a file name of another format."""
    if layout not in LAYOUTS:
        raise ValueError(f"layout '{layout}' is none of {', '.join(LAYOUTS)}")
    suffixes = ['.pth'] if layout == 'mmengine' else ['.pth', '.safetensors']
    if Path(out).suffix not in suffixes:
        raise ValueError(f'{out}: for {layout}, give a name that ends in {" or ".join(suffixes)}')


def check_extraction(data: Path | str, batch_size: Any) -> None:
    """Refuse an extraction of features that cannot be.

    Raises:
        FileNotFoundError: If there is no such folder of images.
        ValueError: If the batch size is no whole number from 1.
    """
    if type(batch_size) is not int or batch_size < 1:
        raise ValueError(f'--batch-size must be a whole number from 1, got {batch_size!r:.40}')
    if not os.path.isdir(data):
        raise FileNotFoundError(f"'{data}' does not exist, or is no folder of images")


def check_table_path(path: Path | str) -> None:
    """Refuse a file that cannot be written, before minutes are spent on what it is to hold.

    Raises:
        ValueError: If it ends in none of :data:`TABLES`.
        ModuleNotFoundError: If it is .parquet and pyarrow is not installed.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in TABLES:
        raise ValueError(f"'{path}' must end in {', '.join(TABLES)}")
    if suffix == '.parquet':
        pyarrow()


def pyarrow() -> tuple[Any, Any]:
    """Import pyarrow and its module of parquet; ModuleNotFoundError, with a mend, without it."""
    try:
        return importlib.import_module('pyarrow'), importlib.import_module('pyarrow.parquet')
    except ModuleNotFoundError as error:
        mend = 'pip install pyarrow, or give a name that ends in .npz or .csv'
        raise ModuleNotFoundError(
            f'.parquet needs pyarrow, which is not installed; {mend}'
        ) from error
