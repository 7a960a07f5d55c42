# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Cut ``cifar10_mini`` out of ``data/cifar10``: the first images of each class, in order."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from nasiam_mm.datasets.known import KNOWN
from nasiam_mm.datasets.source import ARRAY_NAMES, array_path, load_array, save_array, sha256_array

PER_CLASS = {'train': 50, 'test': 5}


def main() -> None:
    """Write ``tests/data/cifar10_mini``; run it from the top of the repository."""
    source = Path('data/cifar10')
    target = Path('tests/data/cifar10_mini')
    target.mkdir(exist_ok=True)
    rows = {}
    for split, count in PER_CLASS.items():
        labels = load_array(array_path(source, f'{split}_labels'))
        rows[split] = np.sort(
            np.concatenate([np.flatnonzero(labels == label)[:count] for label in range(10)])
        )
    digests = {}
    for name in ARRAY_NAMES:
        array = load_array(array_path(source, name))[rows[name.split('_')[0]]]
        save_array(array_path(target, name), array)
        digests[name] = sha256_array(array)
    parts = {part: 10 * count for part, count in PER_CLASS.items()}
    replace(KNOWN['CIFAR10'], source='subset', parts=parts, digests=digests).write(target)


if __name__ == '__main__':
    main()
