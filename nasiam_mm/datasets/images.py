# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A folder of arrays or of image files as a data set, checked by what it says of itself."""

import os
from functools import lru_cache
from typing import Any

import numpy as np
from mmengine.dataset import force_full_init
from mmengine.logging import print_log
from mmpretrain.datasets import BaseDataset

from nasiam_mm.datasets.folder import open_part, part_digests, part_folder, read_image, square
from nasiam_mm.datasets.headers import name_some, read_headers
from nasiam_mm.datasets.known import KNOWN
from nasiam_mm.datasets.resolve import refuse_unresolved
from nasiam_mm.datasets.source import (
    MOST_PIXELS,
    Source,
    mend,
    read_source,
    sha256_array,
    split_digest,
)
from nasiam_mm.datasets.split import split_indices
from nasiam_mm.registry import DATASETS


@lru_cache(maxsize=16)  # loaders over one folder read its headers once
def unreadable(files: tuple[str, ...]) -> frozenset[int]:
    """Return the positions of the files that cannot be read."""
    return frozenset(read_headers(files)[0])


@DATASETS.register_module()
class Images(BaseDataset):
    """A folder of arrays or of image files, as its :class:`Source` describes it.

    Each item holds, before the pipeline, ``sample_idx`` (int), ``gt_label`` (int) where there
    are labels, ``img`` (uint8 (H, W, 3), RGB), and ``img_path`` where images are files: without
    ``size`` a file is then named and not read, which is left to the pipeline.

    Arrays are mapped into memory, shared by all workers. What was opened is compared with the
    digests of ``source.json``; ``metainfo['digest']`` keeps that of the part as provenance
    (``ConcatDataset`` over several needs ``ignore_keys=['digest']``). FileNotFoundError for
    missing data, ValueError for damaged or other data or a part that the folder does not have.

    Args:
        data_root: The folder of the data, such as ``data/cifar10``.
        split: A part that the folder has: 'train', 'test', perhaps 'val'.
        size: Side of the square cut from the centre, the short edge resized; None to leave images.
        skip_unreadable: Whether to leave out, and log, the files of which header or end tell that
            they cannot be read; every other image stays in the part that it was in.
        verify: Whether to check the digests; without, ``metainfo['digest']`` is None.
        **kwargs: Of mmpretrain's BaseDataset; the row numbers listed are never serialised.
    """

    NAME: str | None = None

    def __init__(
        self,
        data_root: str,
        split: str = 'train',
        size: int | None = None,
        verify: bool = True,
        skip_unreadable: bool = False,
        **kwargs: Any,
    ) -> None:
        refuse_unresolved(data_root)
        if isinstance(size, int) and not 1 <= size <= MOST_PIXELS:
            raise ValueError(f'size must be from 1 to {MOST_PIXELS}, got {size}')
        self.split, self.size, self.verify = split, size, verify
        self.skip_unreadable = skip_unreadable
        super().__init__('', data_root=data_root, **{**kwargs, 'serialize_data': False})

    def load_data_list(self) -> list[int]:
        """Open and check the part; return its row numbers, which subsets then move."""
        source = read_source(self.data_root, self.NAME)
        if self.NAME not in (None, source.name):
            raise ValueError(f'{self.data_root}: holds {source.name}, not {self.NAME}')
        if self.split not in source.parts:
            parts = ', '.join(source.parts)
            raise ValueError(f'{self.data_root}: has no part {self.split!r}, only {parts}')
        place = source.place(self.split)
        self._folder = part_folder(self.data_root, place)
        try:
            self._images, self._labels = open_part(self.data_root, place, source)
            digest = self._checked_digest(place, source) if self.verify else None
        except FileNotFoundError as error:
            told = f'{error.filename or error}: missing'
            raise FileNotFoundError(f'{told}; {mend(self.data_root, source.name)}') from error
        except ValueError as error:
            raise ValueError(f'{error}; {mend(self.data_root, source.name)}') from error
        rows = np.arange(len(self._images))
        sizes = {part: n for part, n in source.parts.items() if source.place(part) == place}
        if len(sizes) > 1:
            rows = split_indices(len(rows), sizes, seed=0)[self.split]
            digest = digest and split_digest(digest, sha256_array(rows))
        if self.skip_unreadable and self._images.dtype != np.uint8:
            rows = self._readable(rows)
        self._metainfo.setdefault('classes', tuple(source.classes))
        self._metainfo.update(dataset=source.name, digest=digest)
        return rows.tolist()

    def _readable(self, rows: np.ndarray) -> np.ndarray:
        """Leave out the rows of files that cannot be read, and say how many."""
        files = [str(self._folder / os.fsdecode(name)) for name in self._images[rows]]
        broken = sorted(unreadable(tuple(files)))
        if len(broken) == len(files):
            raise ValueError(f'{self._folder}: not one of {len(files)} images can be read')
        if broken:
            told = f'{self.data_root}, part {self.split!r}: {len(broken)} of {len(files)} images'
            names = name_some([files[n] for n in broken])
            print_log(f'{told} cannot be read and are left out: {names}', 'current')
        return np.delete(rows, broken)

    def _checked_digest(self, place: str, source: Source) -> str | None:
        """Compare what was opened with what is expected; return the digest of the part."""
        expected = source.digests
        if source.source in ('official', 'npm') and source.name in KNOWN:
            expected = KNOWN[source.name].digests or expected
        is_files = self._images.dtype != np.uint8
        if is_files and place not in expected:
            return None  # the sizes of a million files are not asked for without need
        found = part_digests(self.data_root, place, self._images, self._labels)
        for name, digest in found.items() if expected else ():
            if digest != (wanted := expected.get(name, 'none')):
                sums = f'sha256 {digest[:12]} is not the expected {wanted[:12]}'
                if is_files:
                    changed = 'files came, went or changed their size since they were listed'
                    raise ValueError(f'{self._folder}: {changed} ({sums})')
                raise ValueError(f'{self.data_root}/{name}.npy: {sums}')
        return split_digest(*found.values())

    @force_full_init
    def get_data_info(self, idx: int) -> dict:
        """Return one sample: its image or file, its label and its index in this data set."""
        row = self.data_list[idx]
        info: dict = {'sample_idx': idx if idx >= 0 else len(self) + idx}
        if self._labels is not None:
            info['gt_label'] = int(self._labels[row])
        image = self._images[row]
        if self._images.dtype != np.uint8:
            info['img_path'] = str(self._folder / os.fsdecode(image))
            if self.size is None:
                return info
            image = read_image(info['img_path'])
        info['img'] = np.array(image if self.size is None else square(image, self.size))
        return info

    @force_full_init
    def get_gt_labels(self) -> np.ndarray:
        """Return the labels of all samples, int64 (N,)."""
        if self._labels is None:
            raise ValueError(f'{self.data_root}: its images have no labels')
        return self._labels[self.data_list].astype(np.int64)

    def get_cat_ids(self, idx: int) -> list[int]:
        """Return the class of one sample, in a list."""
        return [int(self.get_gt_labels()[idx])]

    def _copy_without_annotation(self, memo: dict | None = None) -> 'Images':
        """Copy for ``get_subset``; the arrays are read-only and stay shared."""
        shared = {id(array): array for array in (self._images, self._labels)}
        return super()._copy_without_annotation({**(memo or {}), **shared})


@DATASETS.register_module()
class CIFAR10(Images):
    """CIFAR-10, whichever of its forms a folder holds; in place of mmpretrain's class."""

    NAME = 'CIFAR10'
    METAINFO = {'classes': KNOWN['CIFAR10'].classes}


@DATASETS.register_module()
class CIFAR100(Images):
    """CIFAR-100 with its fine labels, whichever of its forms a folder holds."""

    NAME = 'CIFAR100'
    METAINFO = {'classes': KNOWN['CIFAR100'].classes}
