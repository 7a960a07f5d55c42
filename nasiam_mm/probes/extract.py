# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The features of a backbone for a whole set of images, with their labels."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.dist import all_gather, broadcast, get_dist_info, get_world_size
from mmpretrain.structures import DataSample
from torch import Tensor, nn
from torch.utils.data import DataLoader

from nasiam_mm.engine.optim import as_trained
from nasiam_mm.engine.running import preserve_rng, unwrap

_ONCE = "sampler=dict(type='DefaultSampler', shuffle=False)"


class FeatureSet(NamedTuple):
    """Features, (N, D), float32, and labels, (N,), int64, of a whole set of images."""

    features: Tensor
    labels: Tensor


def extract_features(
    model: nn.Module,
    dataloader: DataLoader,
    cfg: Mapping[str, Any] = {},
    labelled: bool = True,
) -> FeatureSet:
    """Extract the pooled features of the backbone's last stage for every image.

    The model runs in evaluation mode without gradients, in the precision that a run of ``cfg``
    trains in (:func:`as_trained`); its features are float32. Its modes, buffers and the random
    number generators are afterwards as they were. Several processes share the work as the
    ``DefaultSampler`` divides it, use the buffers of rank 0, which are those a checkpoint holds,
    and all return the whole set, on the model's device and in the order of the sampler.

    The loader visits each image once, in batches ``dict(inputs=(N, C, H, W), data_samples=[...])``
    with one ``gt_label`` per sample, as ``PackInputs`` and ``default_collate`` make them. Unless
    ``labelled``, labels are not asked for and all -1.
    """
    model, sampler = unwrap(model), dataloader.sampler
    allowed = DefaultSampler if get_world_size() > 1 else object
    if isinstance(sampler, InfiniteSampler) or not isinstance(sampler, allowed):
        raise ValueError(f'feature extraction cannot use {type(sampler).__name__}; set {_ONCE}')
    features, labels = [], []
    with preserve_rng(), torch.no_grad(), as_saved(model), as_trained(cfg):
        for batch in dataloader:
            data = model.data_preprocessor(batch, False)
            if not isinstance(data['inputs'], Tensor):
                raise ValueError(
                    f'feature extraction needs a tensor, got a list of {len(data["inputs"])}; set '
                    "a pipeline without MultiView and collate_fn=dict(type='default_collate')"
                )
            unknown = torch.full((len(data['inputs']),), -1)
            labels.append(labels_of(data.get('data_samples')) if labelled else unknown)
            features.append(pooled(model.extract_feat(data['inputs'])).cpu())
    size, visited = len(dataloader.dataset), sum(map(len, labels))
    rank, world_size = get_dist_info()
    # A rank may hold one image less than another.
    if not visited or visited < math.ceil((size - rank) / world_size):
        raise ValueError(
            f'feature extraction saw {visited} images on rank {rank} of {world_size} in a set of '
            f'{size}; set drop_last=False and {_ONCE}'
        )
    device = next(model.parameters()).device
    return FeatureSet(*(gather(torch.cat(x), size).to(device) for x in (features, labels)))


@contextmanager
def as_saved(model: nn.Module) -> Iterator[None]:
    """Lend the model evaluation mode and the buffers of rank 0: without SyncBN each has its own."""
    modes = [(module, module.training) for module in model.modules()]
    own = [] if get_world_size() == 1 else [(b, b.clone()) for b in model.buffers()]
    try:
        model.eval()
        for buffer, _ in own:
            broadcast(buffer, src=0)
        yield
    finally:
        for module, training in modes:  # not model.train(): a BatchNorm may be frozen
            module.training = training
        for buffer, value in own:
            buffer.copy_(value)


def pooled(maps: Tensor | Sequence[Tensor]) -> Tensor:
    """Average the last stage's map over its positions: (N, D, H, W) or (N, D) to (N, D)."""
    last = maps if isinstance(maps, Tensor) else maps[-1]
    if last.ndim not in (2, 4):
        raise ValueError(
            f'feature extraction needs maps of (N, D, H, W) or (N, D), got {tuple(last.shape)}'
        )
    return last.float().mean((2, 3)) if last.ndim == 4 else last.float()


def labels_of(data_samples: Sequence[DataSample] | None) -> Tensor:
    """Join the class indices of a batch, (N,), on the CPU."""
    samples = data_samples if isinstance(data_samples, (list, tuple)) else [data_samples]
    labels = []
    for sample in samples:
        label = getattr(sample, 'gt_label', None)
        if label is None or label.numel() != 1:
            raise ValueError(
                'feature extraction needs data samples with one gt_label each, got '
                f'{type(sample).__name__} with gt_label {label}; pack the labels with PackInputs'
            )
        labels.append(label.reshape(1))
    return torch.cat(labels).long().cpu()


def gather(own: Tensor, size: int) -> Tensor:
    """Join what the ranks hold, rank r the rows r, r + W, ..., to ``size`` rows on all ranks."""
    if get_world_size() == 1:
        return own[:size]
    longest = math.ceil(size / get_world_size())
    padding = own.new_zeros(longest - len(own), *own.shape[1:])
    parts = all_gather(torch.cat([own, padding]))
    return torch.stack(parts, dim=1).flatten(0, 1)[:size]  # repetitions and padding come last
