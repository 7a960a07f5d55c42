# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Lists of image files with the names of their classes: ``meta/train.csv``, or a user's own CSV.

Columns ``file`` and, where there are labels, ``label``; files are relative to their folder.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from nasiam_mm.datasets.headers import name_some
from nasiam_mm.files.atomic import write_text

_MOST_BYTES = 2**30


def class_names(labels: Sequence[str]) -> list[str]:
    """Return the classes that labels name, in order: of their numbers where all are numbers."""
    names = set(labels)
    numbers = all(name.isascii() and name.isdigit() for name in names)
    return sorted(names, key=lambda name: (int(name), name) if numbers else (0, name))


def write_listing(path: Path, files: Sequence[str], labels: Sequence[str] | None = None) -> None:
    """Write a list of files, with a label each or none, whole or not at all."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    writer.writerow(['file'] if labels is None else ['file', 'label'])
    writer.writerows(
        [[name] for name in files] if labels is None else zip(files, labels, strict=True)
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(text.getvalue(), path)


def read_listing(path: Path, classes: Sequence[str] = ()) -> tuple[list[str], np.ndarray | None]:
    """Read what :func:`write_listing` wrote: files, and labels, int64 (N,), or None.

    A label is the place of its name in ``classes``, or in :func:`class_names` without them.

    Raises:
        ValueError: If it is no such list, or a label is none of the classes.
    """
    rows = _rows(path)
    header, rows = rows[0], rows[1:]
    if header not in (['file'], ['file', 'label']) or not rows:
        raise ValueError(f'{path}: no list of files under the heads file,label')
    if wrong := next((n for n, row in enumerate(rows, 2) if len(row) != len(header)), None):
        raise ValueError(f'{path}, line {wrong}: {len(header)} fields are expected')
    files = [row[0] for row in rows]
    if len(header) == 1:
        return files, None
    labels = [row[1] for row in rows]
    order = {name: number for number, name in enumerate(classes or class_names(labels))}
    if other := sorted(set(labels) - set(order)):
        told = f'which are none of the {len(order)} classes of source.json'
        raise ValueError(f'{path}: labels {name_some(other)}, {told}')
    return files, np.array([order[name] for name in labels], np.int64)


def read_labels(path: Path) -> dict[str, str]:
    """Read a CSV of a user's, file and label in its first two columns: file -> label.

    A first line that says ``file``, ``filename``, ``image``, ``path`` or ``name`` is a head.

    Raises:
        ValueError: If a line has no two fields, or a file comes twice with different labels.
    """
    rows = _rows(path)
    first = 1
    if rows[0][0].strip().lower() in ('file', 'filename', 'image', 'path', 'name'):
        rows, first = rows[1:], 2
    found: dict[str, str] = {}
    for number, row in enumerate(rows, first):
        if len(row) < 2 or not row[0].strip() or not row[1].strip():
            told = 'a file and its label, with a comma between them, are expected'
            raise ValueError(f'{path}, row {number}: {told}: {row!s:.80}')
        name, label = PurePosixPath(row[0].strip()).as_posix(), row[1].strip()
        if found.setdefault(name, label) != label:
            raise ValueError(f'{path}, row {number}: {name} has two labels')
    if not found:
        raise ValueError(f'{path}: holds no label')
    return found


def label_files(files: Sequence[str], labels: Mapping[str, str], path: Path) -> list[str]:
    """Return the label of each file, by its path, or by its name alone.

    The latter where no two names are alike, of the files and in the list.

    Raises:
        ValueError: If a file has none.
    """
    ends = [PurePosixPath(name).name for name in labels]
    own = [PurePosixPath(name).name for name in files]
    is_clear = len(set(ends)) == len(ends) and len(set(own)) == len(own)
    by_name = dict(zip(ends, labels.values(), strict=True)) if is_clear else {}
    found = [labels.get(name) or by_name.get(end) for name, end in zip(files, own, strict=True)]
    if missing := [name for name, label in zip(files, found, strict=True) if label is None]:
        told = f'{len(missing)} of {len(files)} images have no label there'
        mend = 'add them, take the images away, or leave labels out: --labels none'
        raise ValueError(f'{path}: {told}: {name_some(missing)}; {mend}')
    return [label for label in found if label is not None]


def _rows(path: Path) -> list[list[str]]:
    if not path.is_file():
        raise FileNotFoundError(f"'{path}' does not exist, or is no file")
    if path.stat().st_size > _MOST_BYTES:
        raise ValueError(f'{path}: more than {_MOST_BYTES} bytes')
    try:
        text = path.read_text(encoding='utf-8-sig')
        rows = [row for row in csv.reader(io.StringIO(text)) if row]
    except (UnicodeError, csv.Error) as error:
        raise ValueError(f'{path}: no CSV in UTF-8: {error!s:.150}') from error
    if not rows:
        raise ValueError(f'{path}: is empty')
    return rows
