# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Disjoint parts of a data set: the weights learn from one, alpha from the other."""

import math
from collections.abc import Mapping
from numbers import Integral, Real

import numpy as np
from mmengine.dataset import BaseDataset, force_full_init
from torch.utils.data import Dataset

from nasiam_mm.registry import DATASETS

__all__ = ['SplitDataset', 'image_indices', 'innermost', 'shared_images', 'split_indices']


def split_indices(
    num_samples: int, parts: Mapping[str, int | float], seed: int
) -> dict[str, np.ndarray]:
    """Cut one seeded random permutation of a data set into disjoint named parts.

    The paper (section 3.1) searches on two disjoint parts of the training set. The permutation
    is drawn from the number of samples and the seed alone: neither labels nor the order of files,
    which is the order of classes in ImageNet, have a say.

    Args:
        num_samples (int): Size N of the data set.
        parts (Mapping[str, int | float]): Size of each part: an int is a count, a float a
            fraction of N, rounded down. Parts are cut in the order written; what they leave over
            is in none.
        seed (int): Seed of the permutation.

    Returns:
        dict[str, np.ndarray]: The indices of each part, int64, in the order of the permutation.

    Raises:
        ValueError: If a size or the seed makes no sense, a part is empty, or the parts together
            exceed the data set.

    Examples:
        >>> {name: len(part) for name, part in split_indices(10, dict(a=0.5, b=3), 0).items()}
        {'a': 5, 'b': 3}
    """
    if isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0:
        raise ValueError(f'split: seed must be an integer >= 0, got {seed!r}')
    if not parts:
        raise ValueError("split: no parts given; write for example {'weights': 0.5, 'alpha': 0.5}")
    sizes = {name: _part_size(name, size, num_samples) for name, size in parts.items()}
    total = sum(sizes.values())
    if total > num_samples:
        raise ValueError(
            f'split: parts {sizes} need {total} samples, the data set has {num_samples}'
        )
    order = np.random.Generator(np.random.PCG64(int(seed))).permutation(num_samples)
    ends = np.cumsum(list(sizes.values()))
    return dict(zip(sizes, np.split(order[:total], ends[:-1]), strict=True))


def _part_size(name: str, size: int | float, num_samples: int) -> int:
    """Return the number of samples of one part."""
    if isinstance(size, bool) or not isinstance(size, Real):
        raise ValueError(f'split: size of part {name!r} must be a number, got {size!r}')
    if isinstance(size, Integral):
        count = int(size)
    elif 0 <= size <= 1:
        # 0.29 * 100 is 28.999...: the product's rounding must not cost a sample.
        count = math.floor(size * num_samples + 1e-9)
    else:
        raise ValueError(
            f'split: part {name!r} is the fraction {size} of the data set, which is not between '
            '0 and 1; a count is written without a point'
        )
    if count < 1:
        raise ValueError(f'split: part {name!r} of size {size} is empty ({num_samples} samples)')
    return count


def innermost(dataset: Dataset) -> Dataset:
    """Return the data set inside any number of wrappers."""
    while hasattr(dataset, 'dataset'):
        dataset = dataset.dataset
    return dataset


def image_indices(dataset: Dataset) -> np.ndarray:
    """Return the rows of the innermost data set that a part draws from, int64 (N,).

    Raises:
        ValueError: If there is no :class:`SplitDataset` among the wrappers.
    """
    part = dataset
    while not hasattr(part, 'indices') and hasattr(part, 'dataset'):
        part = part.dataset
    if not hasattr(part, 'indices'):
        raise ValueError(f'the images must come from a SplitDataset, got {type(part).__name__}')
    return np.asarray(part.indices, dtype=np.int64)


def shared_images(first: Dataset, second: Dataset) -> np.ndarray:
    """Return the rows that are in both of two parts of one data set, int64 (N,), sorted."""
    return np.intersect1d(image_indices(first), image_indices(second))


@DATASETS.register_module()
class SplitDataset:
    """One part of a data set (contract C3: parts of the same split share no image).

    Wrappers with equal ``parts`` and ``seed`` over equal data sets cut the same parts, so two of
    them that differ in ``part`` alone are disjoint, in one process or in many. Unlike mmpretrain's
    ``KFoldDataset`` it copies nothing, takes instances too, and, when a pipeline yields None,
    draws the substitute from its own part.

    Args:
        dataset (dict | BaseDataset): The data set to cut, or its config.
        part (str): Name of the part to show, a key of ``parts``.
        parts (Mapping[str, int | float]): Size of each part; see :func:`split_indices`.
        seed (int): Seed of the permutation. Defaults to 0.
        lazy_init (bool): Whether to load the data later. Defaults to False.

    Raises:
        ValueError: If ``part`` is not among ``parts``, or ``parts`` do not fit the data set.
        TypeError: If ``dataset`` is neither a config nor a ``BaseDataset``.
    """

    def __init__(
        self,
        dataset: dict | BaseDataset,
        part: str,
        parts: Mapping[str, int | float],
        seed: int = 0,
        lazy_init: bool = False,
    ) -> None:
        if isinstance(dataset, dict):
            lazy_init = lazy_init or dataset.get('lazy_init', False)
            dataset = DATASETS.build(dataset)
        if not isinstance(dataset, BaseDataset):
            raise TypeError(
                f'SplitDataset: dataset must be a config or a BaseDataset, got {type(dataset)}'
            )
        if part not in parts:
            raise ValueError(f'SplitDataset: part {part!r} is not one of {list(parts)}')
        self.dataset = dataset
        self.part = part
        self.parts = dict(parts)
        self.seed = seed
        self._fully_initialized = False
        if not lazy_init:
            self.full_init()

    def full_init(self) -> None:
        """Load the data set and cut the part."""
        if self._fully_initialized:
            return
        self.dataset.full_init()
        self._indices = split_indices(len(self.dataset), self.parts, self.seed)[self.part]
        self._fully_initialized = True

    @property
    @force_full_init
    def indices(self) -> np.ndarray:
        """The rows of the whole data set that make up this part, int64 (N,)."""
        return self._indices

    @property
    def metainfo(self) -> dict:
        """A copy of the meta information of the whole data set."""
        return self.dataset.metainfo

    @property
    def CLASSES(self) -> tuple[str, ...] | None:
        """The names of the classes, as mmpretrain's data sets have them."""
        return self.metainfo.get('classes')

    @force_full_init
    def __len__(self) -> int:
        return len(self._indices)

    @force_full_init
    def get_data_info(self, idx: int) -> dict:
        """Return one sample before the pipeline; its ``sample_idx`` is that in the whole set."""
        return self.dataset.get_data_info(int(self._indices[idx]))

    @force_full_init
    def get_cat_ids(self, idx: int) -> list[int]:
        """Return the class indices of one sample."""
        return self.dataset.get_cat_ids(int(self._indices[idx]))

    @force_full_init
    def get_gt_labels(self) -> np.ndarray:
        """Return the labels of the part, int64 (N,)."""
        return self.dataset.get_gt_labels()[self._indices]

    @force_full_init
    def __getitem__(self, idx: int) -> object:
        """Return one sample after the pipeline.

        A pipeline may yield None for a broken image. In training mode another sample *of this
        part* takes its place; the data set's own substitute could come from the other part.
        """
        row = int(self._indices[idx])
        if self.dataset.test_mode:
            return self.dataset[row]
        for _ in range(self.dataset.max_refetch + 1):
            data = self.dataset.prepare_data(row)
            if data is not None:
                return data
            row = int(np.random.choice(self._indices))
        raise RuntimeError(
            f'SplitDataset: no valid image in part {self.part!r} after '
            f'{self.dataset.max_refetch} more tries; check the images and the pipeline'
        )

    def __repr__(self) -> str:
        size = f'{len(self)} samples' if self._fully_initialized else 'not loaded'
        return (
            f'SplitDataset: part {self.part!r} ({size}) of {self.parts}, seed {self.seed}, over\n'
            f'{self.dataset!r}'
        )
