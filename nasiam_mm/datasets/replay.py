# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Data that can be replayed: each sample is a function of (seed, pass, image).

A checkpoint then needs no more than the number of batches drawn, whatever the number of workers,
and several processes draw the global batch that a single one would (contracts C3, C6).
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cached_property
from typing import Any

import numpy as np
import torch
from mmengine.dataset import Compose, DefaultSampler
from mmengine.device import get_device
from mmengine.registry import FUNCTIONS
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from nasiam_mm.datasets.split import innermost
from nasiam_mm.registry import DATA_SAMPLERS, DATASETS, TRANSFORMS
from nasiam_mm.views.counter_rng import mix64

# Transforms that draw from no generator of the process, whose seeding takes a tenth of a crop.
_STILL = {'DecodeCrops', 'LoadImage', 'PackInputs'}


def view_seeds(*numbers: int | np.ndarray) -> np.ndarray:
    """Mix integers, or arrays of them that broadcast together, into seeds of 63 bits, int64."""
    mixed = torch.zeros((), dtype=torch.int64)
    increment = 0x9E3779B97F4A7C15 - 2**64  # SplitMix64's, as int64
    for number in numbers:
        mixed = mix64(mixed + torch.as_tensor(number) + increment)
    return (mixed >> 1).bitwise_and_(2**63 - 1).numpy()


@DATA_SAMPLERS.register_module()
class ReplaySampler(DefaultSampler):
    """Walk over a dataset that can start anywhere, in ``(index, view_seed)`` of its samples.

    Over several processes the samples are dealt out in turn, so that the batches of one step
    together are the batch a single process would draw; a tail that cannot be dealt evenly is left
    out. ``start`` samples of this process are left out at the head of the next pass. ``seed`` is
    the same in all processes; ``stream`` keeps the views of loaders with one seed apart.
    """

    def __init__(
        self, dataset: Dataset, shuffle: bool = True, seed: int | None = None, stream: int = 0
    ) -> None:
        super().__init__(dataset, shuffle, seed, round_up=False)
        self.stream, self.start = stream, 0
        self.num_samples = len(dataset) // self.world_size
        self.total_size = self.num_samples * self.world_size

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Walk one pass from ``start``, which falls back to 0; 8 bytes an image, as a tensor."""
        generator = torch.Generator()
        generator.manual_seed(self.seed + self.epoch)  # as DefaultSampler has it
        length = len(self.dataset)
        rows = torch.randperm(length, generator=generator) if self.shuffle else torch.arange(length)
        rows = rows[self.rank : self.total_size : self.world_size][self.start :]
        self.start = 0
        return self._walk(rows, self.epoch)

    def _walk(self, rows: Tensor, epoch: int) -> Iterator[tuple[int, int]]:
        # Many at once: one by one they would cost more than loading small images.
        for part in rows.split(2**14):
            seeds = view_seeds(self.seed, self.stream, epoch, part.numpy())
            yield from zip(part.tolist(), seeds.tolist(), strict=True)


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
    """Make the random transforms of a dataset, or of its config, functions of the sample's seed.

    The transforms of ``pipeline`` come after the dataset's own and find ``view_seed`` in the
    sample; ``with_view_seed`` passes it on, for a preprocessor that makes the views of a batch, and
    ``with_index`` the sample's number among these, as ``sample_idx``, for a bank with a row each.
    """

    def __init__(
        self,
        dataset: dict | Dataset,
        with_view_seed: bool = False,
        pipeline: Sequence[dict] = (),
        with_index: bool = False,
    ) -> None:
        self.dataset = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        self.with_view_seed, self.with_index = with_view_seed, with_index
        self.pipeline = Compose([TRANSFORMS.build(step) for step in pipeline])
        inner = getattr(innermost(self.dataset), 'pipeline', None)
        steps = [*getattr(inner, 'transforms', [None]), *self.pipeline.transforms]
        self._draws = any(type(step).__name__ not in _STILL for step in steps)

    @property
    def metainfo(self) -> dict:
        """Meta information of the wrapped dataset."""
        return self.dataset.metainfo

    def full_init(self) -> None:
        """Load the wrapped dataset."""
        self.dataset.full_init()

    def __len__(self) -> int:
        return len(self.dataset)

    def _check_keys(self, keys: Sequence[tuple[int, int]]) -> None:
        if not all(isinstance(key, tuple) for key in keys):
            mend = "set sampler=dict(type='ReplaySampler') in its dataloader"
            raise TypeError(f'{type(self).__name__} needs the keys of ReplaySampler; {mend}')

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        """Get the sample of a key from :class:`ReplaySampler`."""
        self._check_keys([key])
        index, seed = key
        with seeded(seed) if self._draws else nullcontext():
            sample = self.dataset[index]
            if self.pipeline.transforms:
                sample = self.pipeline({**sample, 'view_seed': seed})
        if self.with_view_seed:
            sample['view_seed'] = seed
        if self.with_index:
            sample['sample_idx'] = index
        return sample


@DATASETS.register_module()
class ResidentDataset(ReplayDataset):
    """Raw images of a dataset as one uint8 tensor, for views made on the device.

    Gives what ``ReplayDataset(with_view_seed=True)`` gives, to the bit, but for the labels: images
    and the seeds of their views. A batch is one indexing of a tensor that already lies where the
    views are made, so no worker process is needed and nothing but row numbers crosses to the
    device. The loader needs ``sampler=dict(type='ReplaySampler')``,
    ``collate_fn=dict(type='as_drawn')`` and no workers.

    Images are uint8 RGB of one size and the dataset's pipeline does nothing but pack them, else a
    ValueError. ``device='auto'`` is the accelerator, or the CPU without one. Images that take more
    than ``max_gib`` GiB stay on the CPU, and their batches are copied as they are drawn.
    """

    def __init__(
        self,
        dataset: dict | Dataset,
        device: str = 'auto',
        max_gib: float = 8.0,
        with_index: bool = False,
    ) -> None:
        super().__init__(dataset, with_view_seed=True, with_index=with_index)
        self.device = get_device() if device == 'auto' else device
        self.max_gib = max_gib
        names = [type(step).__name__ for step in innermost(self.dataset).pipeline.transforms]
        if names != ['PackInputs']:
            mend = "set pipeline=[dict(type='PackInputs')] or use ReplayDataset"
            raise ValueError(f'ResidentDataset would leave out the pipeline {names}; {mend}')

    @cached_property
    def images(self) -> Tensor:
        """The images, uint8 (N, 3, H, W), moved to the device on first use."""
        images = self._stack(range(len(self)))
        return images.to(self.device if images.numel() <= self.max_gib * 2**30 else 'cpu')

    def _stack(self, rows: Sequence[int]) -> Tensor:
        shape = self.dataset.get_data_info(rows[0])['img'].shape
        stacked = np.empty((len(rows), *shape), np.uint8)
        for place, row in enumerate(rows):
            image = self.dataset.get_data_info(row)['img']
            if image.dtype != np.uint8 or image.shape != shape or shape[2:] != (3,):
                found = f'{image.dtype}: image {row} is {image.shape} and image {rows[0]} {shape}'
                needed = 'ResidentDataset needs equal uint8 images (H, W, 3)'
                raise ValueError(f'{needed}, got {found}; use ReplayDataset')
            stacked[place] = image
        return torch.from_numpy(stacked).permute(0, 3, 1, 2).contiguous()

    def peek(self, keys: Sequence[tuple[int, int]]) -> dict[str, Tensor]:
        """Get the batch that ``__getitems__`` would, on the host, and load no other image."""
        self._check_keys(keys)
        rows, seeds = zip(*keys, strict=True)
        return self._batch(self._stack(rows), torch.tensor(rows), torch.tensor(seeds))

    def __getitems__(self, keys: Sequence[tuple[int, int]]) -> dict[str, Tensor]:
        """Get the batch of N keys of a :class:`ReplaySampler`.

        ``inputs`` is uint8 (N, 3, H, W) on the device, ``view_seed`` int64 (N,) on the host, and
        ``sample_idx`` likewise where asked for.
        """
        self._check_keys(keys)
        if get_worker_info() is not None:
            told = 'ResidentDataset draws in the main process, a worker would copy all images'
            raise RuntimeError(f'{told}; set num_workers=0 in its dataloader')
        rows, seeds = torch.tensor(keys).unbind(1)
        taken = rows.to(self.images.device, non_blocking=True)
        return self._batch(self.images.index_select(0, taken), rows, seeds)

    def _batch(self, images: Tensor, rows: Tensor, seeds: Tensor) -> dict[str, Tensor]:
        batch = {'inputs': images, 'view_seed': seeds}
        return {**batch, 'sample_idx': rows} if self.with_index else batch


@FUNCTIONS.register_module()
def as_drawn(batch: Any) -> Any:
    """Collate nothing: the dataset has drawn the whole batch."""
    return batch


def endless_batches(loader: DataLoader, drawn: int = 0) -> Iterator[Any]:
    """Walk a loader pass after pass, each reshuffled, without end.

    The loader has a :class:`ReplaySampler` and drops the last short batch; the walk goes on after
    the first ``drawn`` batches.
    """
    number, skipped = divmod(drawn, len(loader))
    while True:
        loader.sampler.set_epoch(number)
        loader.sampler.start = skipped * loader.batch_size
        yield from loader
        number, skipped = number + 1, 0
