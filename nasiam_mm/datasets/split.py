# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Disjoint parts of a data set: the weights learn from one, alpha from the other."""

import math
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from numbers import Integral, Real

import numpy as np
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from torch.utils.data import Dataset

from nasiam_mm.config_walk import type_name, walk
from nasiam_mm.registry import DATASETS

# By name; pairs where a config is saved, which forgets the order of a mapping.
Parts = Mapping[str, int | float] | Sequence[tuple[str, int | float]]


def split_indices(num_samples: int, parts: Parts, seed: int) -> dict[str, np.ndarray]:
    """Cut one seeded random permutation of a data set into disjoint named parts, int64 indices.

    The paper (section 3.1) searches on two disjoint parts of the training set. The permutation
    is drawn from the number of samples and the seed alone: neither labels nor the order of files,
    which is the order of classes in ImageNet, have a say. An int is a count, a float a fraction of
    the samples, rounded down; parts are cut in the order written, what they leave over is in none.
    ValueError if a size or the seed makes no sense, a part is empty, or they need too many.
    """
    if isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0:
        raise ValueError(f'split: seed must be an integer >= 0, got {seed!r}')
    if not parts:
        raise ValueError("split: no parts given; write for example {'weights': 0.5, 'alpha': 0.5}")
    parts = dict(parts)
    sizes = {name: _part_size(name, size, num_samples) for name, size in parts.items()}
    total = sum(sizes.values())
    if total > num_samples:
        raise ValueError(
            f'split: parts {sizes} need {total} samples, the data set has {num_samples}'
        )
    order = _permutation(num_samples, int(seed))
    ends = np.cumsum(list(sizes.values()))
    return dict(zip(sizes, np.split(order[:total], ends[:-1]), strict=True))


@lru_cache(maxsize=2)
def _permutation(count: int, seed: int) -> np.ndarray:
    """A random order, which the parts of a data set share: not one of 8 bytes an image each."""
    order = np.random.Generator(np.random.PCG64(seed)).permutation(count)
    order.flags.writeable = False
    return order


def refuse_unordered_parts(cfg: Config) -> None:
    """Raise ValueError for parts in a config that are cut otherwise once it was saved and read."""
    for node in walk(cfg._cfg_dict):
        parts = node.get('parts') if type_name(node) == 'SplitDataset' else None
        if isinstance(parts, Mapping) and list(parts) != sorted(parts):
            what = f'parts {dict(parts)} are cut in that order, which a saved config forgets'
            raise ValueError(f'{what}; write parts={list(parts.items())}')


def _part_size(name: str, size: int | float, num_samples: int) -> int:
    if isinstance(size, bool) or not isinstance(size, Real):
        raise ValueError(f'split: size of part {name!r} must be a number, got {size!r}')
    count = size
    if not isinstance(size, Integral):
        if not 0 <= size <= 1:
            told = 'which is not between 0 and 1; a count is written without a point'
            raise ValueError(f'split: part {name!r} is the fraction {size} of the data set, {told}')
        # 0.29 * 100 is 28.999...: the product's rounding must not cost a sample.
        count = math.floor(size * num_samples + 1e-9)
    if count < 1:
        raise ValueError(f'split: part {name!r} of size {size} is empty ({num_samples} samples)')
    return int(count)


def innermost(dataset: Dataset) -> Dataset:
    """Return the data set inside any number of wrappers."""
    while hasattr(dataset, 'dataset'):
        dataset = dataset.dataset
    return dataset


def shared_images(first: Dataset, second: Dataset) -> np.ndarray:
    """Return the rows of one data set that are in both of two parts of it, int64 (N,), sorted.

    ValueError if one of them has no :class:`SplitDataset` among its wrappers.
    """
    rows = []
    for part in (first, second):
        while not hasattr(part, 'indices') and hasattr(part, 'dataset'):
            part = part.dataset
        if not hasattr(part, 'indices'):
            raise ValueError(f'the images must come from a SplitDataset, got {type(part).__name__}')
        rows.append(part.indices)
    # A mark an image: to sort the rows would take their memory several times.
    is_there = np.zeros(1 + max(part.max(initial=0) for part in rows), dtype=bool)
    is_there[rows[0]] = True
    return np.sort(rows[1][is_there[rows[1]]])


@DATASETS.register_module()
class SplitDataset:
    """One part of a data set (contract C3: parts of the same split share no image).

    Wrappers with equal ``parts`` and ``seed`` over equal data sets cut the same parts, so two of
    them that differ in ``part`` alone are disjoint, in one process or in many. Unlike mmpretrain's
    ``KFoldDataset`` it copies nothing, takes instances too, and substitutes from its own part.

    Parts are cut in the order written. mmengine saves a config with the keys of a dict sorted, so
    that a config gives ``parts`` as pairs, ``[('weights', 0.5), ('alpha', 0.5)]``, unless they are.
    ``dataset`` may be a config; one that is loaded lazily is cut on first use. ``part`` is one of
    ``parts``, which are those of :func:`split_indices`.
    """

    def __init__(self, dataset: dict | BaseDataset, part: str, parts: Parts, seed: int = 0) -> None:
        self.dataset = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        self.part, self.parts, self.seed = part, dict(parts), seed
        if not isinstance(self.dataset, BaseDataset):
            raise TypeError(f'dataset must be a config or a BaseDataset, got {type(self.dataset)}')
        if part not in self.parts:
            raise ValueError(f'SplitDataset: part {part!r} is not one of {list(self.parts)}')
        if self.dataset._fully_initialized:
            self.full_init()

    @cached_property
    def indices(self) -> np.ndarray:
        """The rows of the whole data set that make up this part, int64 (N,)."""
        self.dataset.full_init()
        return split_indices(len(self.dataset), self.parts, self.seed)[self.part]

    def full_init(self) -> None:
        """Load the data set and cut the part, as the first use does."""
        _ = self.indices

    @property
    def metainfo(self) -> dict:
        """A copy of the meta information of the whole data set."""
        return self.dataset.metainfo

    @property
    def CLASSES(self) -> tuple[str, ...] | None:
        """The names of the classes, as mmpretrain's data sets have them."""
        return self.metainfo.get('classes')

    def __len__(self) -> int:
        return len(self.indices)

    def get_data_info(self, idx: int) -> dict:
        """Return one sample before the pipeline; its ``sample_idx`` is that in the whole set."""
        return self.dataset.get_data_info(int(self.indices[idx]))

    def get_cat_ids(self, idx: int) -> list[int]:
        """Return the class indices of one sample."""
        return self.dataset.get_cat_ids(int(self.indices[idx]))

    def get_gt_labels(self) -> np.ndarray:
        """Return the labels of the part, int64 (N,)."""
        return self.dataset.get_gt_labels()[self.indices]

    def __getitem__(self, idx: int) -> object:
        """Return one sample after the pipeline.

        In training mode another one *of this part* takes the place of an image for which the
        pipeline yields None; the data set's own substitute could come from the other part.
        """
        row, dataset = int(self.indices[idx]), self.dataset
        if dataset.test_mode:
            return dataset[row]
        for _ in range(dataset.max_refetch + 1):
            if (data := dataset.prepare_data(row)) is not None:
                return data
            row = int(np.random.choice(self.indices))
        told = f'after {dataset.max_refetch} more tries; check the images and the pipeline'
        raise RuntimeError(f'SplitDataset: no valid image in part {self.part!r} {told}')

    def __repr__(self) -> str:
        size = f'{len(self)} samples' if 'indices' in vars(self) else 'not loaded'
        whole = f'{self.parts}, seed {self.seed}, over\n{self.dataset!r}'
        return f'SplitDataset: part {self.part!r} ({size}) of {whole}'
