# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The sets that torchvision reads, as it keeps them below a folder.

Its readers check what they unpickle by md5. Files are listed and not decoded.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nasiam_mm.datasets.published.published_set import Arrays, Files, PublishedSet, register_set

_ALL = {'train': 'train', 'val': 'val', 'test': 'test'}
_TWO = {'train': 'train', 'test': 'test'}
# Name -> its name there of each part, and where its files lie. Their reader gives paths if told to.
_LISTED: dict[str, tuple[dict[str, str], str]] = {
    'Flowers102': (_ALL, 'flowers-102/jpg'),
    'DTD': (_ALL, 'dtd/dtd'),
    'Food101': (_TWO, 'food-101/images'),
    'FGVCAircraft': (_ALL, 'fgvc-aircraft-2013b/data'),
    'StanfordCars': (_TWO, 'stanford_cars/devkit'),
    'EuroSAT': ({'train': ''}, 'eurosat/2750'),
}


def _reader(name: str) -> Any:
    from torchvision import datasets

    return getattr(datasets, name)


def _names(dataset: Any, labels: Sequence[int]) -> list[str]:
    """Name the classes; by their numbers where the set does not."""
    known = getattr(dataset, 'classes', None) or ()
    return [str(name) for name in known] or [str(n) for n in range(1 + max(labels, default=0))]


def _listed(name: str, splits: dict[str, str]) -> Callable[[Path, str, bool], Files]:
    def read(root: Path, part: str, download: bool) -> Files:
        split = {'split': splits[part]} if splits[part] else {}
        found = _reader(name)(str(root), download=download, loader=str, **split)
        pairs = [found[n] for n in range(len(found))]
        labels = [int(label) for _, label in pairs]
        return Files([Path(path) for path, _ in pairs], labels, _names(found, labels))

    return read


for _name, (_splits, _lies) in _LISTED.items():
    register_set(
        PublishedSet(_name, tuple(_splits), _lies, _listed(_name, _splits), _name != 'StanfordCars')
    )


def _pets(root: Path, part: str, download: bool) -> Files:
    split = 'trainval' if part == 'train' else 'test'
    found = _reader('OxfordIIITPet')(str(root), split=split, download=download)
    # Its images are decoded by whatever is asked of it in public.
    return Files(found._images, found._labels, _names(found, found._labels))


def _signs(root: Path, part: str, download: bool) -> Files:
    found = _reader('GTSRB')(str(root), split=part, download=download)
    labels = [int(label) for _, label in found._samples]
    return Files([Path(path) for path, _ in found._samples], labels, _names(found, labels))


def _svhn(root: Path, part: str, download: bool) -> Arrays:
    found = _reader('SVHN')(str(root), split=part, download=download)
    return Arrays(found.data.transpose(0, 2, 3, 1), found.labels, [str(n) for n in range(10)])


def _stl10(root: Path, part: str, download: bool) -> Arrays:
    found = _reader('STL10')(str(root), split=part, download=download)
    labels = np.asarray(found.labels).astype(np.int64)
    return Arrays(found.data.transpose(0, 2, 3, 1), labels, _names(found, labels.tolist()))


def _cifar100(root: Path, part: str, download: bool) -> Arrays:
    from nasiam_mm.datasets.folder import read_official
    from nasiam_mm.datasets.known import KNOWN

    if download:
        _reader('CIFAR100')(str(root), download=True)
    images, labels = read_official(root, part, 'CIFAR100')
    assert labels is not None  # of these pickles
    return Arrays(images, labels, KNOWN['CIFAR100'].classes)


register_set(PublishedSet('OxfordIIITPet', ('train', 'test'), 'oxford-iiit-pet/images', _pets))
register_set(PublishedSet('GTSRB', ('train', 'test'), 'gtsrb/GTSRB', _signs))
register_set(PublishedSet('SVHN', ('train', 'test'), 'train_32x32.mat', _svhn))
register_set(PublishedSet('STL10', ('train', 'test'), 'stl10_binary', _stl10))
register_set(PublishedSet('CIFAR100', ('train', 'test'), 'cifar-100-python', _cifar100))
