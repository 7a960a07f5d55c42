# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The JSON row of a run: it stands with the logs that prove it, and not without."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nasiam_mm.files.atomic import write_text
from nasiam_mm.files.digest import file_digest

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


def write_log(entries: Sequence[Mapping[str, Any]], path: Path) -> str:
    """Write a log as a line of JSON per entry, and return its sha256."""
    text = ''.join(json.dumps(entry) + '\n' for entry in entries)
    write_text(text, path)
    return hashlib.sha256(text.encode()).hexdigest()
