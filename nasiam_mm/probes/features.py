# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Backbone features of a data set, and what they are worth by their nearest neighbours."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.dist import all_gather, broadcast, get_dist_info, get_world_size
from mmpretrain.structures import DataSample
from torch import Tensor, nn
from torch.utils.data import DataLoader

from nasiam_mm.engine.rng import preserve_rng
from nasiam_mm.engine.running import unwrap
from nasiam_mm.evaluation import knn_accuracy
from nasiam_mm.probes.section import Probe

_EACH_ONCE = "sampler=dict(type='DefaultSampler', shuffle=False)"


class FeatureSet(NamedTuple):
    """Features, (N, D), float32, and labels, (N,), int64, of a whole set of images."""

    features: Tensor
    labels: Tensor


def extract_features(model: nn.Module, dataloader: DataLoader) -> FeatureSet:
    """Extract the pooled features of the backbone's last stage for every image.

    The model runs in evaluation mode without gradients and in full precision. Its modes, buffers
    and the random number generators are afterwards as they were. Several processes share the work
    as the ``DefaultSampler`` divides it, use the buffers of rank 0, which are those a checkpoint
    holds, and all return the whole set, on the model's device and in the order of the sampler.

    The loader visits each image once, in batches ``dict(inputs=(N, C, H, W), data_samples=[...])``
    with one ``gt_label`` per sample, as ``PackInputs`` and ``default_collate`` make them.
    """
    model, sampler = unwrap(model), dataloader.sampler
    allowed = DefaultSampler if get_world_size() > 1 else object
    if isinstance(sampler, InfiniteSampler) or not isinstance(sampler, allowed):
        raise ValueError(
            f'feature extraction cannot use {type(sampler).__name__}; set {_EACH_ONCE}'
        )
    features, labels = [], []
    with preserve_rng(), torch.no_grad(), _as_saved(model):
        for batch in dataloader:
            data = model.data_preprocessor(batch, False)
            if not isinstance(data['inputs'], Tensor):
                raise ValueError(
                    f'feature extraction needs a tensor, got a list of {len(data["inputs"])}; set '
                    "a pipeline without MultiView and collate_fn=dict(type='default_collate')"
                )
            labels.append(_labels(data.get('data_samples')))
            features.append(_pooled(model.extract_feat(data['inputs'])).cpu())
    size, visited = len(dataloader.dataset), sum(map(len, labels))
    rank, world_size = get_dist_info()
    # A rank may hold one image less than another.
    if not visited or visited < math.ceil((size - rank) / world_size):
        raise ValueError(
            f'feature extraction saw {visited} images on rank {rank} of {world_size} in a set of '
            f'{size}; set drop_last=False and {_EACH_ONCE}'
        )
    device = next(model.parameters()).device
    return FeatureSet(*(_gather(torch.cat(x), size).to(device) for x in (features, labels)))


def measure(
    model: nn.Module, probe: Probe, split: str = 'val', seed: int | None = None
) -> dict[str, float]:
    """Classify the images of a split by their nearest neighbours in the labelled bank.

    Returns ``knn/{split}_top1`` and, for more than five classes, ``knn/{split}_top5``, in percent.
    ``seed`` is of loaders still to be built. Of several processes all have to call this.
    """
    built = probe.build(split, seed)
    loaders = [built.loader('train'), built.loader(split)]
    bank, query = (extract_features(model, loader) for loader in loaders)
    datasets = [loader.dataset for loader in loaders]  # type: ignore[union-attr]
    num_classes = count_classes(datasets, [bank, query])
    top = knn_accuracy(*query, *bank, num_classes, probe.k, probe.temperature, probe.chunk_size)
    return {f'knn/{split}_{name}': value for name, value in top.items()}


def count_classes(datasets: list, sets: list[FeatureSet]) -> int:
    """Return the number of classes: those that a data set names, or that its labels show."""
    named = [len(getattr(dataset, 'metainfo', {}).get('classes') or ()) for dataset in datasets]
    return max(*named, *(1 + int(found.labels.max()) for found in sets))


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


def _pooled(maps: Tensor | Sequence[Tensor]) -> Tensor:
    """Average the last stage's map over its positions: (N, D, H, W) or (N, D) to (N, D)."""
    last = maps if isinstance(maps, Tensor) else maps[-1]
    if last.ndim not in (2, 4):
        raise ValueError(
            f'feature extraction needs maps of (N, D, H, W) or (N, D), got {tuple(last.shape)}'
        )
    return last.float().mean((2, 3)) if last.ndim == 4 else last.float()


def _labels(data_samples: Sequence[DataSample] | None) -> Tensor:
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


def _gather(own: Tensor, size: int) -> Tensor:
    """Join what the ranks hold, rank r the rows r, r + W, ..., to ``size`` rows on all ranks."""
    longest = math.ceil(size / get_world_size())
    padding = own.new_zeros(longest - len(own), *own.shape[1:])
    parts = all_gather(torch.cat([own, padding]))
    # The sampler's repetitions, or our padding, come last.
    return torch.stack(parts, dim=1).flatten(0, 1)[:size]
