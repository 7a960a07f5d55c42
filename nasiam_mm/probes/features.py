# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Backbone features of a whole dataset, taken without a trace in the model or the run."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from mmengine.dataset import DefaultSampler
from mmengine.dist import all_gather, broadcast, get_dist_info, get_world_size
from mmpretrain.structures import DataSample
from torch import Tensor, nn
from torch.utils.data import DataLoader

from nasiam_mm.engine.running import preserve_rng, unwrap


class FeatureSet(NamedTuple):
    """Features, (N, D), float32, and labels, (N,), int64, of a whole set of images."""

    features: Tensor
    labels: Tensor


def extract_features(model: nn.Module, dataloader: DataLoader) -> FeatureSet:
    """Extract the pooled features of the backbone's last stage for every image.

    The model runs in evaluation mode without gradients and in full precision. Its mode (module by
    module), its buffers and the random number generators are afterwards as they were. Several
    processes share the work as the loader's ``DefaultSampler`` divides it, use the buffers of rank
    0, which are those a checkpoint holds, and all return the whole set.

    Args:
        model: An algorithm of mmpretrain; a wrapper of several processes is taken off.
        dataloader: Loader whose batches are ``dict(inputs=(N, C, H, W), data_samples=[...])`` with
            one ``gt_label`` per sample, as ``PackInputs`` and ``default_collate`` make them.

    Returns:
        Both on the device of the model, in the order of the sampler.

    Raises:
        ValueError: If the loader does not visit each image once, or its batches are otherwise.
    """
    model = unwrap(model)
    _check_loader(dataloader)
    features, labels = [], []
    with preserve_rng(), torch.no_grad(), _as_saved(model):
        for batch in dataloader:
            data = model.data_preprocessor(batch, False)
            if not isinstance(data['inputs'], Tensor):
                raise ValueError(
                    'feature extraction needs one tensor of images, got a list of '
                    f'{len(data["inputs"])}; give the loader a pipeline without MultiView and '
                    "collate_fn=dict(type='default_collate')"
                )
            labels.append(_labels(data.get('data_samples')))
            features.append(_pooled(model.extract_feat(data['inputs'])).cpu())
    size = len(dataloader.dataset)
    _check_complete(sum(map(len, labels)), size)
    device = next(model.parameters()).device
    return FeatureSet(*(_gather(torch.cat(x), size).to(device) for x in (features, labels)))


@contextmanager
def _as_saved(model: nn.Module) -> Iterator[None]:
    """Lend the model evaluation mode and the buffers of rank 0: without SyncBN each has its own."""
    modes = [(module, module.training) for module in model.modules()]
    own = [] if get_world_size() == 1 else [(b, b.clone()) for b in model.buffers()]
    try:
        model.eval()
        for buffer, _ in own:
            broadcast(buffer, src=0)
        yield
    finally:
        # Not model.train(): modules may stand in different modes, such as a frozen BatchNorm.
        for module, training in modes:
            module.training = training
        for buffer, value in own:
            buffer.copy_(value)


def _check_loader(dataloader: DataLoader) -> None:
    sampler = type(dataloader.sampler).__name__
    if sampler == 'InfiniteSampler' or (
        get_world_size() > 1 and not isinstance(dataloader.sampler, DefaultSampler)
    ):
        raise ValueError(
            f'feature extraction cannot use {sampler}, which does not visit each image once; '
            "set sampler=dict(type='DefaultSampler', shuffle=False)"
        )


def _check_complete(visited: int, size: int) -> None:
    """Refuse loaders that left images out; a rank may hold one image less than another."""
    rank, world_size = get_dist_info()
    if not visited or visited < math.ceil((size - rank) / world_size):
        raise ValueError(
            f'feature extraction saw {visited} images on rank {rank} of {world_size} in a set of '
            f"{size}; set drop_last=False and sampler=dict(type='DefaultSampler', shuffle=False)"
        )


def _pooled(maps: Tensor | Sequence[Tensor]) -> Tensor:
    """Average the last stage's map over its positions: (N, D, H, W) or (N, D) to (N, D)."""
    last = maps if isinstance(maps, Tensor) else maps[-1]
    if last.ndim not in (2, 4):
        raise ValueError(
            'feature extraction needs a backbone whose last output is (N, D, H, W) or (N, D), '
            f'got {tuple(last.shape)}'
        )
    last = last.float()
    return last.mean((2, 3)) if last.ndim == 4 else last


def _labels(data_samples: Sequence[DataSample] | None) -> Tensor:
    """Join the class indices of a batch, (N,), on the CPU."""
    samples = data_samples if isinstance(data_samples, (list, tuple)) else [data_samples]
    for sample in samples:
        label = getattr(sample, 'gt_label', None)
        if label is None or label.numel() != 1:
            raise ValueError(
                'feature extraction needs data samples with one gt_label each, got '
                f'{type(sample).__name__} with gt_label {label}; pack the labels with PackInputs'
            )
    labels = [sample.gt_label.reshape(1) for sample in samples]  # type: ignore[union-attr]
    return torch.cat(labels).long().cpu()


def _gather(own: Tensor, size: int) -> Tensor:
    """Join what the ranks hold, rank r the rows r, r + W, ..., to ``size`` rows on all ranks."""
    longest = math.ceil(size / get_world_size())
    padding = own.new_zeros(longest - len(own), *own.shape[1:])
    parts = all_gather(torch.cat([own, padding]))
    # The sampler's repetitions, or our padding, come last.
    return torch.stack(parts, dim=1).flatten(0, 1)[:size]
