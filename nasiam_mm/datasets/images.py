# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A folder of arrays or of image files as a data set, checked by what it says of itself."""

import os

import numpy as np
from mmengine.dataset import force_full_init
from mmpretrain.datasets import BaseDataset

from nasiam_mm.datasets.folder import (
    Part,
    mend,
    open_part,
    part_digests,
    part_folder,
    read_image,
    square,
)
from nasiam_mm.datasets.resolve import refuse_unresolved
from nasiam_mm.datasets.source import (
    KNOWN,
    OFFICIAL,
    Source,
    array_path,
    read_source,
    sha256_array,
    split_digest,
)
from nasiam_mm.datasets.split import split_indices
from nasiam_mm.registry import DATASETS

__all__ = ['CIFAR10', 'CIFAR100', 'Images']


@DATASETS.register_module()
class Images(BaseDataset):
    """A folder of arrays or of image files, as its :class:`Source` describes it.

    Each item holds, before the pipeline, ``sample_idx`` (int), ``gt_label`` (int) where there
    are labels, ``img`` (uint8 (H, W, 3), RGB), and ``img_path`` where images are files: without
    ``size`` a file is then named and not read, which is left to the pipeline.

    Arrays are mapped into memory, shared by all workers. What was opened is compared with the
    digests of ``source.json``; ``metainfo['digest']`` keeps that of the part as provenance
    (``ConcatDataset`` over several needs ``ignore_keys=['digest']``).

    Args:
        data_root (str): The folder of the data, such as ``data/cifar10``.
        split (str): A part that the folder has: 'train', 'test', perhaps 'val'. Defaults to
            'train'.
        size (int, optional): The side of the square that images are brought to, the short edge
            resized and the centre cut; None leaves them as they are.
        verify (bool): Whether to check the digests on loading. Defaults to True.
        download (bool): Whether mmpretrain may download the official archive of a CIFAR.
            Defaults to False.
        **kwargs: The other arguments of :class:`mmpretrain.datasets.BaseDataset`.
            ``serialize_data`` has no effect: rows of one array are shared as they are.

    Raises:
        FileNotFoundError: If the data is missing.
        ValueError: If a file is damaged, its digest is not the expected one, or the folder has no
            such part.
    """

    NAME: str | None = None

    def __init__(
        self,
        data_root: str,
        split: str = 'train',
        size: int | None = None,
        verify: bool = True,
        download: bool = False,
        **kwargs,
    ) -> None:
        refuse_unresolved(data_root)
        self.split, self.size, self.verify, self.download = split, size, verify, download
        self._images = np.empty((0, 1, 1, 3), np.uint8)
        self._labels: np.ndarray | None = None
        # The data list holds row numbers: serialising them would only cost.
        kwargs['serialize_data'] = False
        super().__init__('', data_root=data_root, **kwargs)

    @property
    @force_full_init
    def digest(self) -> str | None:
        """The sha256 that names the part's images and labels; None if not verified."""
        return self._metainfo['digest']

    def load_data_list(self) -> list[int]:
        """Open and check the part.

        Returns:
            list[int]: The row numbers. What selects or reorders samples (``indices``,
            ``get_subset``) then moves numbers instead of images.
        """
        source = self._source()
        if self.split not in source.parts:
            raise ValueError(
                f'{self.data_root}: has no part {self.split!r}, only {", ".join(source.parts)}'
            )
        place = source.place(self.split)
        self._images, self._labels = self._open(place, source)
        self._folder = part_folder(self.data_root, place)
        self._metainfo.setdefault('classes', tuple(source.classes))
        self._metainfo['dataset'] = source.name
        self._metainfo['digest'] = self._check(place, source) if self.verify else None
        sizes = {part: n for part, n in source.parts.items() if source.place(part) == place}
        if len(sizes) > 1:
            rows = split_indices(len(self._images), sizes, seed=0)[self.split]
            if self.verify and self._metainfo['digest']:
                digest = split_digest(self._metainfo['digest'], sha256_array(rows))
                self._metainfo['digest'] = digest
            return rows.tolist()
        return list(range(len(self._images)))

    def _source(self) -> Source:
        """Read what the folder says of itself."""
        if self.download and self.NAME and Source.read(self.data_root) is None:
            return KNOWN[self.NAME]
        try:
            source = read_source(self.data_root)
        except FileNotFoundError:
            if self.NAME is None:
                raise
            raise FileNotFoundError(
                f'{self.data_root}: no {self.NAME} here; {mend(self.data_root, self.NAME)}'
            ) from None
        if self.NAME not in (None, source.name):
            raise ValueError(f'{self.data_root}: holds {source.name}, not {self.NAME}')
        return source

    def _open(self, place: str, source: Source) -> Part:
        """Open where a part lies, with a mend in every error."""
        if self.download and source.name in OFFICIAL:
            OFFICIAL[source.name](data_root=self.data_root, download=True)
        try:
            return open_part(self.data_root, place, source)
        except FileNotFoundError as error:
            told = f'{error.filename or error}: missing'
            raise FileNotFoundError(f'{told}; {mend(self.data_root, source.name)}') from error
        except ValueError as error:
            raise ValueError(f'{error}; {mend(self.data_root, source.name)}') from error

    def _check(self, place: str, source: Source) -> str | None:
        """Compare what was opened with what is expected; return the digest of the part."""
        expected = source.digests
        if source.source in ('official', 'npm') and source.name in KNOWN:
            expected = KNOWN[source.name].digests or expected
        is_files = self._images.dtype != np.uint8
        if is_files and place not in expected:
            return None  # the sizes of a million files are not asked for without need
        found = part_digests(self.data_root, place, self._images, self._labels)
        for name, digest in found.items() if expected else ():
            wanted = expected.get(name, 'none')
            if digest != wanted:
                what = f'{self._folder}: the list of its files has' if is_files else ''
                raise ValueError(
                    f'{what or f"{array_path(self.data_root, name)}:"} sha256 {digest[:12]} is '
                    f'not the expected {wanted[:12]}; {mend(self.data_root, source.name)}'
                )
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
        memo = {} if memo is None else memo
        memo.update({id(array): array for array in (self._images, self._labels)})
        return super()._copy_without_annotation(memo)


@DATASETS.register_module()
class CIFAR10(Images):
    """CIFAR-10, whichever of its forms a folder holds; in place of mmpretrain's class."""

    NAME = 'CIFAR10'
    METAINFO = OFFICIAL['CIFAR10'].METAINFO


@DATASETS.register_module()
class CIFAR100(Images):
    """CIFAR-100 with its fine labels, whichever of its forms a folder holds."""

    NAME = 'CIFAR100'
    METAINFO = OFFICIAL['CIFAR100'].METAINFO
