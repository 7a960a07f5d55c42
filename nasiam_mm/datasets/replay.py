# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Data that can be replayed: each sample is a function of (seed, pass, image).

Nothing about the data needs saving in a checkpoint but the number of batches
already drawn, whatever the number of workers; and several processes draw the
same global batch as one process with the whole batch would (contracts C3, C6).
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from mmengine.dataset import Compose, DefaultSampler
from torch.utils.data import DataLoader, Dataset

from nasiam_mm.registry import DATA_SAMPLERS, DATASETS, TRANSFORMS


def view_seeds(*numbers: int | np.ndarray) -> np.ndarray:
    """Mix integers into seeds of 63 bits (the finaliser of SplitMix64, chained).

    Args:
        numbers: Integers or arrays of them that broadcast together.

    Returns:
        int64, one seed per element.
    """
    mixed: Any = np.uint64(0)
    with np.errstate(over='ignore'):  # arithmetic is that of 64 bits
        for number in numbers:
            mixed = mixed + np.asarray(number).astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
            mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            mixed = mixed ^ (mixed >> np.uint64(31))
    return (mixed >> np.uint64(1)).astype(np.int64)


@DATA_SAMPLERS.register_module()
class ReplaySampler(DefaultSampler):
    """Shuffled walk over the dataset that can start anywhere.

    Yields ``(index, view_seed)`` for :class:`ReplayDataset`. Over several
    processes the samples are dealt out in turn, so that the batches of one
    step together are the batch a single process would draw; a tail that
    cannot be dealt evenly is left out of the pass.

    Args:
        dataset: Dataset to walk over.
        shuffle: Whether each pass has a permutation of its own.
        seed: Seed of permutations and views, the same in all processes.
        stream: Keeps the views of loaders with one seed apart.

    Attributes:
        epoch (int): Number of the pass.
        start (int): Samples of this process to leave out at the head of the
            next pass that is begun.
    """

    def __init__(
        self, dataset: Dataset, shuffle: bool = True, seed: int | None = None, stream: int = 0
    ) -> None:
        super().__init__(dataset, shuffle, seed, round_up=False)
        self.stream = stream
        self.start = 0
        self.num_samples = len(dataset) // self.world_size
        self.total_size = self.num_samples * self.world_size

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Walk one pass from ``start``, which falls back to 0."""
        indices = list(super().__iter__())[self.start :]
        self.start = 0
        # All at once: one by one in Python they would cost more than loading small images.
        seeds = view_seeds(self.seed, self.stream, self.epoch, np.array(indices, np.int64))
        return zip(indices, seeds.tolist(), strict=True)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the CPU generators of python, numpy and torch, and put them back after."""
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.default_generator.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


@DATASETS.register_module()
class ReplayDataset:
    """Make the random transforms of a dataset functions of the sample's seed.

    Args:
        dataset: Config or instance of the dataset to wrap.
        with_view_seed: Whether to pass ``view_seed`` on with each sample, for
            a preprocessor that makes the views of the whole batch.
        pipeline: Transforms after the dataset's own. They find ``view_seed``
            in the sample's dict.
    """

    def __init__(
        self,
        dataset: dict | Dataset,
        with_view_seed: bool = False,
        pipeline: Sequence[dict] = (),
    ) -> None:
        self.dataset = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        self.with_view_seed = with_view_seed
        self.pipeline = Compose([TRANSFORMS.build(step) for step in pipeline])

    @property
    def metainfo(self) -> dict:
        """Meta information of the wrapped dataset."""
        return self.dataset.metainfo

    def full_init(self) -> None:
        """Load the wrapped dataset."""
        self.dataset.full_init()

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        """Get the sample of a key from :class:`ReplaySampler`."""
        if not isinstance(key, tuple):
            raise TypeError(
                'ReplayDataset needs the keys of ReplaySampler; set '
                "sampler=dict(type='ReplaySampler') in its dataloader"
            )
        index, seed = key
        with seeded(seed):
            sample = self.dataset[index]
            if self.pipeline.transforms:
                sample = self.pipeline({**sample, 'view_seed': seed})
        if self.with_view_seed:
            sample['view_seed'] = seed
        return sample


def endless_batches(loader: DataLoader, drawn: int = 0) -> Iterator[Any]:
    """Walk a loader pass after pass, each reshuffled, without end.

    Args:
        loader: Has a :class:`ReplaySampler` and drops the last short batch.
        drawn: Number of batches already drawn, to go on from there.

    Yields:
        Batches of the loader.
    """
    number, skipped = divmod(drawn, len(loader))
    while True:
        loader.sampler.set_epoch(number)
        loader.sampler.start = skipped * loader.batch_size
        yield from loader
        number, skipped = number + 1, 0
