# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Whether what lies in a folder is whole, and what of two folders, or texts, is not the same."""

import ast
import json
import os
import re
from pathlib import Path
from typing import Any

# What each run names by its time, and this benchmark's own.
_OWN = re.compile(r'\d{8}_\d{6}.*|output_\d+\.txt')
# What two equal runs do not share: the clock, and digests of files that hold it.
_OF_THE_RUN = re.compile(
    r'.*seconds|time|data_time|data_wait|eta|(checkpoint|log)_sha256|measure_logs'
)


def files_of(folder: Path) -> set[str]:
    """Name the files below a folder, and its folders, that two equal runs both have."""
    names = (path.relative_to(folder) for path in folder.rglob('*'))
    return {str(name) for name in names if not any(map(_OWN.fullmatch, name.parts))}


def is_writing(folder: Path) -> bool:
    """Whether a file below a folder is being written."""
    return any(name.startswith('.') for _, _, names in os.walk(folder) for name in names)


def damage(folder: Path) -> list[str]:
    """Name the files that are not whole, but for logs, whose last line may be cut."""
    from nasiam_mm.files.checkpoint import read_checkpoint

    torn = []
    for name in sorted(files_of(folder)):
        path = folder / name
        if path.name.startswith('.'):
            continue
        try:
            if path.suffix == '.pth':
                read_checkpoint(path, 'cpu')
            elif path.suffix == '.json':
                json.loads(path.read_text(encoding='utf-8'))
            elif path.suffix == '.py':
                ast.parse(path.read_text(encoding='utf-8'))
        except FileNotFoundError:
            continue  # removed meanwhile
        except (OSError, ValueError, SyntaxError) as error:
            torn.append(f'{name}: {error}')
    return torn


def compare_folders(whole: Path, torn: Path) -> list[str]:
    """Name the files, or folders, that one of two folders lacks or has besides."""
    there, here = files_of(whole), files_of(torn)
    return [f'{"lacks" if name in there else "left"} {name}' for name in sorted(there ^ here)]


def compare_json(whole: Path, torn: Path, *more: str) -> list[str]:
    """Name a file of JSON, or of a line of it each, if two differ, but for times and ``more``."""
    one, other = (
        [_timeless(json.loads(text), more) for text in _documents(path)] for path in (whole, torn)
    )
    return [] if one == other else [whole.name]


def _documents(path: Path) -> list[str]:
    text = path.read_text(encoding='utf-8')
    return text.splitlines() if path.suffix == '.jsonl' else [text]


def _timeless(value: Any, more: tuple[str, ...]) -> Any:
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if k not in more and not _OF_THE_RUN.fullmatch(k)}
        return {key: _timeless(part, more) for key, part in kept.items()}
    return [_timeless(part, more) for part in value] if isinstance(value, list) else value
