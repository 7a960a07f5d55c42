# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""MedMNIST's two-dimensional sets of one label an image, as its package stores them.

A file is ``NAME.npz`` for 28 pixels. The package is needed to download one, and for the names of
classes; without it they are numbers.
"""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from nasiam_mm.datasets.published.published_set import Arrays, PublishedSet, register_set

NAMES = (
    'PathMNIST', 'DermaMNIST', 'OCTMNIST', 'PneumoniaMNIST', 'RetinaMNIST', 'BreastMNIST',
    'BloodMNIST', 'TissueMNIST', 'OrganAMNIST', 'OrganCMNIST', 'OrganSMNIST',
)  # fmt: skip


def _reader(name: str) -> Callable[[Path, str, bool], Arrays]:
    def read(root: Path, part: str, download: bool) -> Arrays:
        package = _package()
        if download:
            if package is None:
                mend = 'pip install medmnist'
                raise ValueError(f'medmnist is not installed and is needed to download; {mend}')
            getattr(package, name)(split=part, root=str(root), download=True)
        with np.load(root / f'{name.lower()}.npz', allow_pickle=False) as held:
            images, labels = held[f'{part}_images'], held[f'{part}_labels']
        if images.ndim == 3:  # grey
            images = np.repeat(images[..., None], 3, axis=3)
        labels = labels.reshape(len(images)).astype(np.int64)
        return Arrays(images, labels, _classes(package, name, labels))

    return read


def _package() -> Any:
    try:
        return importlib.import_module('medmnist')
    except ModuleNotFoundError:
        return None


def _classes(package: Any, name: str, labels: np.ndarray) -> list[str]:
    if package is None:
        return [str(n) for n in range(1 + int(labels.max()))]
    named = package.INFO[name.lower()]['label']
    return [str(named[key]) for key in sorted(named, key=int)]


for _name in NAMES:
    register_set(
        PublishedSet(_name, ('train', 'val', 'test'), f'{_name.lower()}.npz', _reader(_name))
    )
