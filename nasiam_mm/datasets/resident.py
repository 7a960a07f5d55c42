# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Small images that stay on the device and are drawn a batch at a time."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.device import get_device
from mmengine.registry import FUNCTIONS
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from nasiam_mm.registry import DATASETS


@DATASETS.register_module()
class ResidentDataset:
    """Raw images of a dataset as one uint8 tensor, for views made on the device.

    Gives what ``ReplayDataset(with_view_seed=True)`` gives, to the bit, but for
    the labels: images and the seeds of their views. A batch is one indexing of a
    tensor that already lies where the views are made, so no worker process is
    needed and nothing but row numbers crosses to the device. The loader needs
    ``sampler=dict(type='ReplaySampler')``, ``collate_fn=dict(type='as_drawn')``
    and no workers.

    Args:
        dataset: Config or instance of the dataset. Its images are uint8 RGB of
            one size and its pipeline does nothing but pack them.
        device: Where the images stay; ``'auto'`` for the accelerator, or the CPU
            where there is none.
        max_gib: Images that take more GiB than this stay on the CPU, and their
            batches are copied to the device as they are drawn.

    Raises:
        ValueError: If the images differ in size or type, or the pipeline
            transforms them.
    """

    def __init__(self, dataset: dict | Dataset, device: str = 'auto', max_gib: float = 8.0) -> None:
        self.dataset = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        self.device = get_device() if device == 'auto' else device
        self.max_gib = max_gib
        _refuse_transforms(self.dataset)
        self._images: Tensor | None = None

    @property
    def metainfo(self) -> dict:
        """Meta information of the wrapped dataset."""
        return self.dataset.metainfo

    def full_init(self) -> None:
        """Load the wrapped dataset."""
        self.dataset.full_init()

    @property
    def images(self) -> Tensor:
        """The images, uint8 (N, 3, H, W), moved to the device on first use."""
        if self._images is None:
            images = torch.from_numpy(_stack(self.dataset)).permute(0, 3, 1, 2).contiguous()
            fits = images.numel() <= self.max_gib * 2**30
            self._images = images.to(self.device if fits else 'cpu')
        return self._images

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Tensor]:
        """Get the batch of one key."""
        return self.__getitems__([key])

    def __getitems__(self, keys: Sequence[tuple[int, int]]) -> dict[str, Tensor]:
        """Get the batch of the keys of a :class:`ReplaySampler`.

        Args:
            keys: N pairs of row and view seed.

        Returns:
            ``inputs``, uint8 (N, 3, H, W) on the device, and ``view_seed``,
            int64 (N,) on the host.
        """
        if not all(isinstance(key, tuple) for key in keys):
            raise TypeError(
                'ResidentDataset needs the keys of ReplaySampler; set '
                "sampler=dict(type='ReplaySampler') in its dataloader"
            )
        if get_worker_info() is not None:
            raise RuntimeError(
                'ResidentDataset draws whole batches in the main process, a worker would hold '
                'its own copy of the images; set num_workers=0 in its dataloader'
            )
        rows, seeds = torch.tensor(keys).unbind(1)
        images = self.images
        return {
            'inputs': images.index_select(0, rows.to(images.device, non_blocking=True)),
            'view_seed': seeds,
        }


@FUNCTIONS.register_module()
def as_drawn(batch: Any) -> Any:
    """Collate nothing: the dataset has drawn the whole batch."""
    return batch


def _stack(dataset: Dataset) -> np.ndarray:
    """Return the images of a dataset, uint8 (N, H, W, 3)."""
    first = dataset.get_data_info(0)['img']
    if first.dtype != np.uint8 or first.ndim != 3 or first.shape[2] != 3:
        raise ValueError(
            f'ResidentDataset needs uint8 images (H, W, 3), got {first.dtype} {first.shape}'
        )
    images = np.empty((len(dataset), *first.shape), np.uint8)
    for row in range(len(dataset)):
        image = dataset.get_data_info(row)['img']
        if image.shape != first.shape:
            raise ValueError(
                f'ResidentDataset needs images of one size, but image {row} is {image.shape} and '
                f'image 0 {first.shape}; use ReplayDataset'
            )
        images[row] = image
    return images


def _refuse_transforms(dataset: Dataset) -> None:
    while not hasattr(dataset, 'pipeline') and hasattr(dataset, 'dataset'):
        dataset = dataset.dataset
    names = [type(step).__name__ for step in dataset.pipeline.transforms]
    if names != ['PackInputs']:
        raise ValueError(
            f'ResidentDataset draws raw images and would leave out the pipeline {names}; set '
            "pipeline=[dict(type='PackInputs')] or use ReplayDataset"
        )
