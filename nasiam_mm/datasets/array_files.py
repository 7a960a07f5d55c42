# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The layout of a prepared image set: four ``.npy`` files, their digests, their source.

root/
  train_images.npy   uint8 (N, 32, 32, 3), RGB
  train_labels.npy   uint8 (N,)
  test_images.npy    uint8 (M, 32, 32, 3), RGB
  test_labels.npy    uint8 (M,)
  source.json        {"dataset": ..., "source": ..., "digests": {...}}
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from nasiam_mm.files.atomic import atomic_path

__all__ = [
    'ARRAY_NAMES',
    'SourceRecord',
    'array_path',
    'load_array',
    'save_array',
    'sha256_array',
    'split_digest',
]

ARRAY_NAMES = ('train_images', 'train_labels', 'test_images', 'test_labels')
SOURCE_NAME = 'source.json'
SOURCES = ('official', 'npm', 'subset')


def array_path(root: Path | str, name: str) -> Path:
    """Return the file of one of :data:`ARRAY_NAMES`."""
    return Path(root, f'{name}.npy')


def sha256_array(array: np.ndarray) -> str:
    """Return the sha256 over the bytes of an array in C order, in hex (no header, no shape)."""
    return hashlib.sha256(np.ascontiguousarray(array).reshape(-1).view(np.uint8)).hexdigest()


def split_digest(images: str, labels: str) -> str:
    """Return one digest for a split: the sha256 of the two digests' hex text, images first."""
    return hashlib.sha256((images + labels).encode('ascii')).hexdigest()


def save_array(path: Path, array: np.ndarray) -> None:
    """Write an array as ``.npy``, atomically."""
    with atomic_path(path) as tmp, open(tmp, 'wb') as file:
        np.save(file, array, allow_pickle=False)


def load_array(path: Path) -> np.ndarray:
    """Map a uint8 ``.npy`` file of images (N, 32, 32, 3) or labels (N,) read-only into memory.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not such an array.
    """
    try:
        array = np.load(path, mmap_mode='r', allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f'{path}: truncated or not a .npy file') from error
    shape = (*array.shape[:1], 32, 32, 3) if path.stem.endswith('images') else (array.size,)
    if array.dtype != np.uint8 or array.shape != shape:
        raise ValueError(f'{path}: holds {array.dtype} {array.shape}, expected uint8 {shape}')
    return array


@dataclass(frozen=True)
class SourceRecord:
    """Where the arrays of a folder come from; ``source.json`` holds it.

    Attributes:
        dataset (str): Name of the data set, such as ``CIFAR10``.
        source (str): 'official' or 'npm' for the whole set, 'subset' for a part of it. Only a
            subset is measured by the digests written here; the whole CIFAR-10 has known ones.
        digests (Mapping[str, str]): The sha256 of each array, by its name.
    """

    dataset: str
    source: str
    digests: Mapping[str, str]

    @classmethod
    def read(cls, root: Path | str) -> 'SourceRecord | None':
        """Read the record of a folder; None where there is none.

        Raises:
            ValueError: If the file is not such a record.
        """
        path = Path(root, SOURCE_NAME)
        if not path.exists():
            return None
        try:
            record = cls(**json.loads(path.read_text(encoding='utf-8')))
            if record.source not in SOURCES:
                raise ValueError(f'source must be one of {", ".join(SOURCES)}')
            if not isinstance(record.digests, dict) or set(record.digests) != set(ARRAY_NAMES):
                raise ValueError(f'digests must name {", ".join(ARRAY_NAMES)}')
        except (ValueError, TypeError) as error:
            raise ValueError(f'{path}: not a valid source record: {error}') from error
        return record

    def write(self, root: Path | str) -> None:
        """Write the record into a folder, atomically."""
        text = json.dumps(asdict(self), indent=2) + '\n'
        with atomic_path(Path(root, SOURCE_NAME)) as tmp:
            tmp.write_text(text, encoding='utf-8')
