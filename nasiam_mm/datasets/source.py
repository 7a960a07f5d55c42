# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What a folder of images says of itself: ``source.json``, and the arrays it vouches for.

root/
  source.json        the fields of Source
  train_images.npy   uint8 (N, H, W, 3), RGB           or  train/CLASS/*.jpg
  train_labels.npy   uint8 or int64 (N,), may be left out    train/*.jpg, without labels
  test_images.npy    likewise, and val_...                    test/..., val/...
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import mmpretrain.datasets as mmpretrain_datasets
import numpy as np
from mmpretrain.datasets.categories import IMAGENET_CATEGORIES

from nasiam_mm.files.atomic import atomic_path

__all__ = [
    'ARRAY_NAMES',
    'KNOWN',
    'OFFICIAL',
    'Source',
    'array_path',
    'load_array',
    'read_source',
    'save_array',
    'sha256_array',
    'split_digest',
]

ARRAY_NAMES = ('train_images', 'train_labels', 'test_images', 'test_labels')
SOURCE_NAME = 'source.json'
SOURCES = ('official', 'npm', 'subset', 'own')


def array_path(root: Path | str, name: str) -> Path:
    """Return the file of an array, such as one of :data:`ARRAY_NAMES`."""
    return Path(root, f'{name}.npy')


def sha256_array(array: np.ndarray) -> str:
    """Return the sha256 over the bytes of an array in C order, in hex (no header, no shape)."""
    return hashlib.sha256(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data).hexdigest()


def split_digest(*digests: str) -> str:
    """Return one digest for a split: the sha256 of its arrays' hex digests, images first."""
    return hashlib.sha256(''.join(digests).encode('ascii')).hexdigest()


def save_array(path: Path, array: np.ndarray) -> None:
    """Write an array as ``.npy``, atomically."""
    with atomic_path(path) as tmp, open(tmp, 'wb') as file:
        np.save(file, array, allow_pickle=False)


def load_array(path: Path) -> np.ndarray:
    """Map a ``.npy`` file of images (N, H, W, 3) or labels (N,) read-only into memory.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not such an array: images are uint8, labels any integers.
    """
    try:
        array = np.load(path, mmap_mode='r', allow_pickle=False)
    except FileNotFoundError:
        raise
    except Exception as error:  # numpy's reader of headers lets SyntaxError and others through
        raise ValueError(f'{path}: truncated or not a .npy file') from error
    if path.stem.endswith('images'):
        expected, fits = 'uint8 (N, H, W, 3)', array.dtype == np.uint8
        fits = fits and array.ndim == 4 and array.shape[3] == 3
    else:
        expected, fits = 'integers (N,)', array.dtype.kind in 'iu' and array.ndim == 1
    if not fits:
        raise ValueError(f'{path}: holds {array.dtype} {array.shape}, expected {expected}')
    return array


@dataclass(frozen=True)
class Source:
    """What is known of the images of a folder; ``source.json`` holds it.

    Attributes:
        name (str): Name of the data set, such as ``CIFAR10``.
        source (str): 'official' or 'npm' for the whole of a published set, 'subset' for a part of
            one, 'own' for any other. The whole CIFAR-10 has digests of its own; the others are
            compared with those written here.
        classes (Sequence[str]): The names of the classes; empty without labels.
        mean (Sequence[float]): Mean per RGB channel, on the scale 0..255.
        std (Sequence[float]): Deviation per RGB channel, on the scale 0..255.
        size (int): Side of the square that an image is brought to, in pixels.
        parts (Mapping[str, int]): Number of images of each part: train, test, perhaps val.
        stored (Mapping[str, str]): Where a part lies that does not lie under its own name. Parts
            that lie in one place are cut from it by a seeded permutation.
        digests (Mapping[str, str]): sha256 of each array by its name, or of the list of the files
            of a part by the part's name.
    """

    name: str
    source: str
    classes: Sequence[str]
    mean: Sequence[float]
    std: Sequence[float]
    size: int
    parts: Mapping[str, int]
    stored: Mapping[str, str] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kinds: dict[str, Any] = {'name': str, 'source': str, 'size': int}
        kinds |= dict.fromkeys(('classes', 'mean', 'std'), (list, tuple))
        kinds |= dict.fromkeys(('parts', 'stored', 'digests'), Mapping)
        for key, kind in kinds.items():
            if not isinstance(getattr(self, key), kind):
                raise ValueError(f'{key} must not be {getattr(self, key)!r:.40}')
        texts = [*self.classes, *self.stored.values(), *self.digests.values()]
        numbers = [*self.mean, *self.std]
        checks = {
            f'source must be one of {", ".join(SOURCES)}': self.source in SOURCES,
            'classes, stored and digests must hold texts': all(isinstance(t, str) for t in texts),
            'mean and std must be 3 numbers each, std above 0': len(self.mean) == 3
            and len(self.std) == 3
            and all(isinstance(n, (int, float)) for n in numbers)
            and min(self.std) > 0,
            'size must be above 0': self.size > 0,
            "parts must name 'train' and give each part a number of images": 'train' in self.parts
            and all(isinstance(n, int) and n > 0 for n in self.parts.values()),
        }
        for rule, holds in checks.items():
            if not holds:
                raise ValueError(rule)

    def place(self, part: str) -> str:
        """Return where a part lies: a folder, or the first word of its arrays' names."""
        return self.stored.get(part, part)

    @classmethod
    def read(cls, root: Path | str) -> 'Source | None':
        """Read the file of a folder; None where there is none.

        Raises:
            ValueError: If the file is not such a record.
        """
        path = Path(root, SOURCE_NAME)
        if not path.exists():
            return None
        try:
            fields = json.loads(path.read_text(encoding='utf-8'))
            if isinstance(fields, dict) and 'dataset' in fields:
                fields = _from_first_form(root, **fields)
            return cls(**fields)
        except (ValueError, TypeError, KeyError, AttributeError, OSError) as error:
            raise ValueError(f'{path}: not a valid source record: {error}') from error

    def write(self, root: Path | str) -> None:
        """Write the file of a folder, atomically."""
        text = json.dumps(asdict(self), indent=2) + '\n'
        with atomic_path(Path(root, SOURCE_NAME)) as tmp:
            tmp.write_text(text, encoding='utf-8')


def _from_first_form(root: Path | str, dataset: str, source: str, digests: dict) -> dict:
    """Complete a record that held no more than these three."""
    if set(digests) != set(ARRAY_NAMES):
        raise ValueError(f'digests must name {", ".join(ARRAY_NAMES)}')
    labels = [load_array(array_path(root, name)) for name in ARRAY_NAMES[1::2]]
    parts = {'train': len(labels[0]), 'test': len(labels[1])}
    known = {**asdict(KNOWN[dataset]), 'source': source, 'parts': parts, 'digests': digests}
    return known


# mmpretrain's readers of the official pickles.
OFFICIAL = {
    'CIFAR10': mmpretrain_datasets.CIFAR10,
    'CIFAR100': mmpretrain_datasets.CIFAR100,
}
# What is known of published sets. The digests are over the arrays in official order; they are the
# same whichever archive they are from. None are published for CIFAR-100: the md5 of its archive is.
KNOWN = {
    'CIFAR10': Source(
        name='CIFAR10',
        source='official',
        classes=OFFICIAL['CIFAR10'].METAINFO['classes'],
        mean=(125.307, 122.950, 113.865),
        std=(62.993, 62.089, 66.705),
        size=32,
        parts={'train': 50000, 'test': 10000},
        digests={
            'train_images': '47af8b02cfcfb6cdf3dbbd1969ad7f1b70f4413f6f80f437b020ee4e5bc8304a',
            'train_labels': '2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253',
            'test_images': 'f9b1e2130bab680db56eb06d886f7f1ad0f1183907ceff4659d1735c890f5b04',
            'test_labels': 'cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5',
        },
    ),
    'CIFAR100': Source(
        name='CIFAR100',
        source='official',
        classes=OFFICIAL['CIFAR100'].METAINFO['classes'],
        mean=(129.304, 124.070, 112.434),
        std=(68.170, 65.392, 70.418),
        size=32,
        parts={'train': 50000, 'test': 10000},
    ),
    # The customary mean and deviation.
    'ImageNet': Source(
        name='ImageNet',
        source='official',
        classes=IMAGENET_CATEGORIES,
        mean=(123.675, 116.28, 103.53),
        std=(58.395, 57.12, 57.375),
        size=224,
        # Its own test images have no labels.
        parts={'train': 1281167, 'test': 50000},
        stored={'test': 'val'},
    ),
}


def read_source(root: Path | str) -> Source:
    """Say what a folder holds: by its ``source.json``, or as a published set lies there.

    The official pickles of a CIFAR and ImageNet's first class folder are recognised.

    Raises:
        FileNotFoundError: If the folder says nothing.
        ValueError: If its record is not valid.
    """
    record = Source.read(root)
    if record is not None:
        return record
    for name, reader in OFFICIAL.items():
        if Path(root, reader.base_folder).is_dir():
            return KNOWN[name]
    if Path(root, 'train', 'n01440764').is_dir():
        return KNOWN['ImageNet']
    state = 'has no source.json' if Path(root).is_dir() else 'no such folder'
    name = Path(root).name
    mend = f'{name} --root' if name.upper() in OFFICIAL else 'describe'
    raise FileNotFoundError(f"{root}: {state}; run 'nasiam data {mend} {root}'")
