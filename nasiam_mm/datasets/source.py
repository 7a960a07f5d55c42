# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What a folder of images says of itself: ``source.json``, and the arrays it vouches for.

root/
  source.json        the fields of Source
  train_images.npy   uint8 (N, H, W, 3), RGB           or  train/CLASS/*.jpg
  train_labels.npy   uint8 or int64 (N,), may be left out    train/*.jpg, without labels
  test_images.npy    likewise, and val_...                    test/..., val/...
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, get_origin

import numpy as np

from nasiam_mm.files.atomic import atomic_path, write_json
from nasiam_mm.files.regular import read_json

NO_LABELS = 'none'  # in place of a file of labels: those of the folders are not used
MOST_PIXELS = 4096  # along the side of the square that images are brought to
_MOST_BYTES = 2**24  # of source.json
ARRAY_NAMES = ('train_images', 'train_labels', 'test_images', 'test_labels')
SOURCE_NAME = 'source.json'
SOURCES = ('official', 'npm', 'subset', 'own')
# Folders that tell a published set: of the pickles, and of a class.
_MARKS = {
    'CIFAR10': 'cifar-10-batches-py',
    'CIFAR100': 'cifar-100-python',
    'ImageNet': 'train/n01440764',
}
# State of a mapped file -> sha256: every loader over it asks.
_DIGESTS: dict[tuple[int, ...], str] = {}


def array_path(root: Path | str, name: str) -> Path:
    """Return the file of an array, such as one of :data:`ARRAY_NAMES`."""
    return Path(root, f'{name}.npy')


def sha256_array(array: np.ndarray) -> str:
    """Return the sha256 over the bytes of an array in C order, in hex (no header, no shape)."""
    return hashlib.sha256(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data).hexdigest()


def file_digest(array: np.ndarray) -> str:
    """Return :func:`sha256_array`; of a whole mapped file only once, as long as it is as it was."""
    if not isinstance(array, np.memmap) or array.filename is None:
        return sha256_array(array)
    state = os.stat(array.filename)
    if array.offset + array.nbytes != state.st_size:  # a part of it
        return sha256_array(array)
    key = (state.st_dev, state.st_ino, state.st_mtime_ns, state.st_size)
    if key not in _DIGESTS:
        _DIGESTS[key] = sha256_array(array)
    return _DIGESTS[key]


def split_digest(*digests: str) -> str:
    """Return one digest for a split: the sha256 of its arrays' hex digests, images first."""
    return hashlib.sha256(''.join(digests).encode('ascii')).hexdigest()


def save_array(path: Path, array: np.ndarray) -> None:
    """Write an array as ``.npy``, atomically."""
    with atomic_path(path) as tmp, open(tmp, 'wb') as file:
        np.save(file, array, allow_pickle=False)


def load_array(path: Path) -> np.ndarray:
    """Map a ``.npy`` of images, uint8 (N, H, W, 3), or labels, integers (N,), read-only.

    FileNotFoundError if there is none, PermissionError, ValueError if damaged or another array.
    """
    try:
        if path.exists() and not path.is_file():
            raise ValueError('a pipe would be waited for')
        array = np.load(path, mmap_mode='r', allow_pickle=False)
        if not isinstance(array, np.ndarray):
            raise ValueError('an archive of arrays')
    except (FileNotFoundError, PermissionError):
        raise
    except Exception as error:  # numpy's reader of headers lets SyntaxError and others through
        raise ValueError(f'{path}: truncated or not a .npy file') from error
    if path.stem.endswith('images'):
        expected, fits = 'uint8 (N, H, W, 3)', array.dtype == np.uint8 and array.shape[3:] == (3,)
        fits = fits and min(array.shape[1:]) > 0
    else:
        expected, fits = 'integers (N,)', array.dtype.kind in 'iu' and array.ndim == 1
    if not fits:
        raise ValueError(f'{path}: holds {array.dtype!s:.60} {array.shape}, expected {expected}')
    return array


@dataclass(frozen=True)
class Source:
    """What is known of the images of a folder; ``source.json`` holds it.

    Parts that are stored in one place are cut from it by a seeded permutation. A digest is the
    sha256 of an array, by its name, or of the list of a part's files, by the part's name.
    """

    name: str  # of the data set, such as CIFAR10
    source: str  # 'official', 'npm': all of a published set; 'subset': a part of one; 'own': other
    classes: Sequence[str]  # empty without labels
    mean: Sequence[float]  # per RGB channel, on the scale 0..255, as is std
    std: Sequence[float]
    size: int  # side of the square that an image is brought to, in pixels
    parts: Mapping[str, int]  # number of images of each: train, test, perhaps val
    stored: Mapping[str, str] = field(default_factory=dict)  # places other than the part's name
    digests: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key in fields(self):
            value = getattr(self, key.name)
            kind: Any = get_origin(key.type) or key.type
            if not isinstance(value, kind) or (kind is Sequence and isinstance(value, str)):
                raise ValueError(f'{key.name} must not be {value!r:.40}')
        texts = [*self.classes, *self.stored.values(), *self.digests.values()]
        numbers = (*self.mean, *self.std)
        are_numbers = all(isinstance(n, (int, float)) and -1e6 < n < 1e6 for n in numbers)
        is_rgb = are_numbers and len(self.mean) == len(self.std) == 3 and min(self.std) > 0
        are_counts = all(isinstance(n, int) and n > 0 for n in self.parts.values())
        rules = {
            'name must have 1 to 255 characters': 0 < len(self.name) < 256,
            f'source must be one of {", ".join(SOURCES)}': self.source in SOURCES,
            'classes, stored and digests must hold texts': all(isinstance(t, str) for t in texts),
            'mean and std must be 3 numbers each, std above 0': is_rgb,
            f'size must be from 1 to {MOST_PIXELS}': 0 < self.size <= MOST_PIXELS,
            "parts must hold 'train' and counts above 0": 'train' in self.parts and are_counts,
        }
        if broken := [rule for rule, holds in rules.items() if not holds]:
            raise ValueError('; '.join(broken))

    def place(self, part: str) -> str:
        """Return where a part lies: a folder, or the first word of its arrays' names."""
        return self.stored.get(part, part)

    @classmethod
    def read(cls, root: Path | str) -> 'Source | None':
        """Read the file of a folder; None if there is none, ValueError if it is no such record."""
        path = Path(root, SOURCE_NAME)
        if not path.exists():
            return None
        try:
            if not path.is_file() or path.stat().st_size > _MOST_BYTES:
                raise ValueError(f'no file, or of more than {_MOST_BYTES} bytes')
            record = read_json(path)
            if isinstance(record, dict) and 'dataset' in record:
                record = _from_first_form(root, **record)
            return cls(**record)
        except (ValueError, TypeError, LookupError, AttributeError, OSError) as error:
            raise ValueError(f'{path}: not a valid source record: {error!s:.200}') from error

    def write(self, root: Path | str) -> None:
        """Write the file of a folder, atomically."""
        write_json(asdict(self), Path(root, SOURCE_NAME))


def _from_first_form(root: Path | str, dataset: str, source: str, digests: dict) -> dict:
    """Complete a record that held no more than these three."""
    if set(digests) != set(ARRAY_NAMES):
        raise ValueError(f'digests must name {", ".join(ARRAY_NAMES)}')
    names = {part: f'{part}_labels' for part in ('train', 'test')}
    parts = {part: len(load_array(array_path(root, name))) for part, name in names.items()}
    return asdict(_known(dataset)) | {'source': source, 'parts': parts, 'digests': digests}


def _known(name: str) -> Source:
    """Return what is known of a published set; its names of classes take torch to import."""
    from nasiam_mm.datasets.known import KNOWN

    return KNOWN[name]


def mend(root: Path | str, name: str) -> str:
    """Say what to do about missing or damaged data of a folder."""
    link, listed = Path(root, 'train'), Path(root, 'meta/train.csv')
    if link.is_symlink() and listed.is_file():  # images that lie elsewhere
        return f"put them back below '{link.readlink()}', or begin anew with another --out"
    tool = f'{name.lower()} --root' if name in ('CIFAR10', 'CIFAR100') else 'describe'
    if tool == 'describe' and not Path(root).is_dir():
        return "name one that 'nasiam data describe' has described"
    return f"run 'nasiam data {tool} {root}'"


def read_source(root: Path | str, name: str | None = None) -> Source:
    """Say what a folder holds: by its ``source.json``, or as a CIFAR or ImageNet lies there.

    FileNotFoundError if it says nothing, where the set of that ``name`` was looked for or any;
    ValueError if its record is not valid.
    """
    if (record := Source.read(root)) is not None:
        return record
    for known, mark in _MARKS.items():
        if Path(root, mark).is_dir():
            return _known(known)
    state = 'has no source.json' if Path(root).is_dir() else 'no such folder'
    state = f'no {name} here' if name else state
    raise FileNotFoundError(f'{root}: {state}; {mend(root, name or Path(root).name.upper())}')
