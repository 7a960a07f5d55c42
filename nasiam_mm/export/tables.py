# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Embeddings as a file: arrays (.npz), text (.csv), or columns (.parquet) by pyarrow."""

import csv
from pathlib import Path
from typing import Any

import numpy as np

from nasiam_mm.export.asked import check_table_path, pyarrow
from nasiam_mm.export.embeddings import Embeddings
from nasiam_mm.files.atomic import atomic_path


def write_embeddings(found: Embeddings, path: Path | str) -> None:
    """Write embeddings, whole or not at all.

    ``.npz`` holds ``files``, ``features`` and, with labels, ``labels``; ``.csv`` the columns
    ``file``, ``label`` and ``f0``, ``f1``, ..., each number with the digits that float32 needs;
    ``.parquet`` ``file``, ``label`` and ``features``, a list.

    Raises:
        ValueError: If the path ends in none of :data:`nasiam_mm.export.asked.TABLES`.
        ModuleNotFoundError: If it is .parquet and pyarrow is not installed.
    """
    check_table_path(path)
    suffix = Path(path).suffix.lower()
    with atomic_path(path) as temporary:
        if suffix == '.npz':
            arrays: dict[str, Any] = {'files': np.array(found.files), 'features': found.features}
            if found.labels is not None:
                arrays['labels'] = np.array(found.labels)
            with temporary.open('wb') as file:
                np.savez(file, **arrays)
        elif suffix == '.csv':
            with temporary.open('w', newline='', encoding='utf-8') as text:
                _write_csv(found, text)
        else:
            _write_parquet(found, temporary)


def _write_csv(found: Embeddings, text: Any) -> None:
    writer = csv.writer(text, lineterminator='\n')
    columns = [f'f{n}' for n in range(found.features.shape[1])]
    writer.writerow(['file', *([] if found.labels is None else ['label']), *columns])
    for n, (file, row) in enumerate(zip(found.files, found.features, strict=True)):
        label = [] if found.labels is None else [found.labels[n]]
        writer.writerow([file, *label, *(str(value) for value in row)])


def _write_parquet(found: Embeddings, path: Path) -> None:
    arrow, parquet = pyarrow()
    rows = arrow.array(found.features.reshape(-1))
    columns = {'file': list(found.files)}
    if found.labels is not None:
        columns['label'] = list(found.labels)
    features = arrow.FixedSizeListArray.from_arrays(rows, found.features.shape[1])
    parquet.write_table(arrow.table({**columns, 'features': features}), path)
