# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A published set as a folder that any recipe takes.

    out/  source.json  meta/train.csv  train -> the set's folder  ...       or  train_images.npy ...

Images that are files stay where they are.
"""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from nasiam_mm.datasets.describing import describe
from nasiam_mm.datasets.gathering import new_folder
from nasiam_mm.datasets.listing import write_listing
from nasiam_mm.datasets.published.published_set import Arrays, Files, find_set
from nasiam_mm.datasets.source import Source, array_path, save_array


def bring(
    name: str,
    root: Path | str,
    out: Path | str,
    size: int | None = None,
    download: bool = False,
) -> Source:
    """Make a folder of a published set, whole or not at all, and return what it says of itself.

    A set without a test part gives a tenth of its training images for one, as a seeded permutation
    draws them.

    Args:
        name: Of the set.
        root: Folder that it lies below, in its authors' form.
        out: Folder to make, which must not be there.
        size: Side of the square that images are brought to; None to choose one.
        download: Whether the set may be downloaded to ``root`` where it is not there.

    Raises:
        FileNotFoundError: If the set, or a file that it lists, is not there.
        ValueError: If there is no such set, a file of it is damaged, or ``out`` is there.
    """
    known, root, out = find_set(name), Path(root), Path(out)
    parts = {part: known.read(root, part, download) for part in known.parts}
    classes = _distinct(parts['train'].classes)
    for part, found in parts.items():
        if len(found.classes) > len(classes) or max(found.labels) >= len(classes):
            told = f'{len(found.classes)} classes where the training images have {len(classes)}'
            raise ValueError(f'{root}: part {part!r} of {known.name} has {told}')
    with new_folder(out) as made:
        for part, found in parts.items():
            _place(made, part, found, root, classes)
        source = describe(made, known.name, size)
        source = replace(source, classes=classes)
        source.write(made)
    return source


def _distinct(classes: Sequence[str]) -> list[str]:
    """Return names of classes, two alike told apart by their number."""
    count = Counter(classes)
    return [name if count[name] == 1 else f'{name} {n}' for n, name in enumerate(classes)]


def _place(
    made: Path, part: str, found: Files | Arrays, root: Path, classes: Sequence[str]
) -> None:
    if isinstance(found, Arrays):
        save_array(array_path(made, f'{part}_images'), np.ascontiguousarray(found.images))
        save_array(array_path(made, f'{part}_labels'), found.labels.astype(np.int64))
        return
    base = root.resolve()
    names = [Path(os.path.relpath(file.absolute(), root.absolute())).as_posix()
             for file in found.files]  # fmt: skip
    if missing := next((name for name in names if not (base / name).is_file()), None):
        raise FileNotFoundError(f"'{root / missing}', which the set lists, does not exist")
    (made / part).symlink_to(base, target_is_directory=True)
    write_listing(made / f'meta/{part}.csv', names, [classes[label] for label in found.labels])
