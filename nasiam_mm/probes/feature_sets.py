# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Features of a network, in parts that share no image, and what their neighbours say of it."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.dist import all_gather, broadcast, get_dist_info, get_world_size
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from mmpretrain.structures import DataSample
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from nasiam_mm.engine.optim import as_trained
from nasiam_mm.engine.running import preserve_rng, unwrap
from nasiam_mm.evaluation.knn import knn_accuracy
from nasiam_mm.files.atomic import atomic_path
from nasiam_mm.probes.section import Probe, check_disjoint, read_probe

_ONCE = "sampler=dict(type='DefaultSampler', shuffle=False)"


class FeatureSet(NamedTuple):
    """Features, (N, D), float32, and labels, (N,), int64, of a whole set of images."""

    features: Tensor
    labels: Tensor


@dataclass(frozen=True)
class FeatureSets:
    """What an evaluation works with."""

    train: FeatureSet  # labelled: bank of kNN, training set of a classifier
    val: FeatureSet  # what every setting is selected on (contract C10)
    test: FeatureSet | None  # what the selected settings are reported on, if asked for
    num_classes: int
    datasets: dict[str, Dataset]  # by part, to look images up in

    @property
    def queries(self) -> dict[str, FeatureSet]:
        """The parts that are classified, by name."""
        return {'val': self.val} if self.test is None else {'val': self.val, 'test': self.test}

    @property
    def parts(self) -> dict[str, FeatureSet]:
        """The parts that are there, by name."""
        return {'train': self.train, **self.queries}

    @property
    def class_names(self) -> list[str]:
        """The name of each class, or its number where the data set names none."""
        names = self.datasets['train'].metainfo.get('classes') or range(self.num_classes)
        return [str(name) for name in names]

    def save(self, path: str | Path) -> None:
        """Write the features as ``{part}_features`` and ``{part}_labels`` of an .npz file."""
        arrays = {
            f'{part}_{name}': value.cpu().numpy()
            for part, found in self.parts.items()
            for name, value in found._asdict().items()
        }
        with atomic_path(path) as temporary, temporary.open('wb') as file:
            np.savez(file, **arrays)


def read_feature_sets(
    cfg: Config, checkpoint: str, with_test: bool = False, val_fraction: float | None = None
) -> FeatureSets:
    """Load a checkpoint into its config's network and extract the backbone's features.

    The parts are those of the config's probe, whose bank is labelled and whose query images are for
    validation; ``val_fraction``, such as 0.2, cuts the whole training split into both instead.
    """
    runner, probe = load_probed(cfg, checkpoint)
    if val_fraction is not None:
        probe = probe.recut(val_fraction)
    parts = ('train', 'val', 'test') if with_test else ('train', 'val')
    loaders = {part: runner.build_dataloader(probe.loader(part)) for part in parts}
    datasets = {part: loader.dataset for part, loader in loaders.items()}
    check_disjoint(datasets['train'], datasets['val'])
    sets = {part: extract_features(runner.model, loader, cfg) for part, loader in loaders.items()}
    num_classes = count_classes([datasets['train']], list(sets.values()))
    return FeatureSets(sets['train'], sets['val'], sets.get('test'), num_classes, datasets)


def load_probed(cfg: Config, checkpoint: str) -> tuple[Runner, Probe]:
    """Load a checkpoint strictly into the network of a config that has a probe."""
    if read_probe(cfg) is None:
        raise ValueError(
            f"config '{cfg.filename}' has no probe section to take images by; see configs/nasiam/"
        )
    cfg.default_hooks, cfg.custom_hooks = {}, []  # they act on training, which there is none of
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    load_strictly(runner, checkpoint)
    return runner, Probe(**runner.cfg.probe)  # in which the data section is written out


def load_strictly(runner: Runner, checkpoint: str) -> None:
    """Load a checkpoint, or raise ValueError if its entries are not exactly the network's."""
    try:
        runner.load_checkpoint(checkpoint, strict=True)
    except RuntimeError as error:
        raise ValueError(
            f"checkpoint '{checkpoint}' is not of config '{runner.cfg.filename}', take the config "
            f'in its folder: {shorten(" ".join(str(error).split()), 300)}'
        ) from error


def extract_features(
    model: nn.Module, dataloader: DataLoader, cfg: Mapping[str, Any] = {}
) -> FeatureSet:
    """Extract the pooled features of the backbone's last stage for every image.

    The model runs in evaluation mode without gradients, in the precision that a run of ``cfg``
    trains in (:func:`as_trained`); its features are float32. Its modes, buffers and the random
    number generators are afterwards as they were. Several processes share the work as the
    ``DefaultSampler`` divides it, use the buffers of rank 0, which are those a checkpoint holds,
    and all return the whole set, on the model's device and in the order of the sampler.

    The loader visits each image once, in batches ``dict(inputs=(N, C, H, W), data_samples=[...])``
    with one ``gt_label`` per sample, as ``PackInputs`` and ``default_collate`` make them.
    """
    model, sampler = unwrap(model), dataloader.sampler
    allowed = DefaultSampler if get_world_size() > 1 else object
    if isinstance(sampler, InfiniteSampler) or not isinstance(sampler, allowed):
        raise ValueError(f'feature extraction cannot use {type(sampler).__name__}; set {_ONCE}')
    features, labels = [], []
    with preserve_rng(), torch.no_grad(), _as_saved(model), as_trained(cfg):
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
            f'{size}; set drop_last=False and {_ONCE}'
        )
    device = next(model.parameters()).device
    return FeatureSet(*(_gather(torch.cat(x), size).to(device) for x in (features, labels)))


def measure(
    model: nn.Module,
    probe: Probe,
    split: str = 'val',
    seed: int | None = None,
    cfg: Mapping[str, Any] = {},
) -> dict[str, float]:
    """Classify a split by its neighbours: ``knn/{split}_top1`` and, past five classes, ``_top5``.

    In percent; ``seed`` is of loaders still to be built, ``cfg`` the run's. Of several processes
    all have to call it.
    """
    built = probe.build(split, seed)
    loaders = [built.loader('train'), built.loader(split)]
    bank, query = (extract_features(model, loader, cfg) for loader in loaders)
    datasets = [loader.dataset for loader in loaders]  # type: ignore[union-attr]
    num_classes = count_classes(datasets, [bank, query])
    blocks = dict(chunk_size=probe.chunk_size, bank_block=probe.bank_block)
    top = knn_accuracy(*query, *bank, num_classes, probe.k, probe.temperature, **blocks)
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
        for module, training in modes:  # not model.train(): a BatchNorm may be frozen
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
    if get_world_size() == 1:
        return own[:size]
    longest = math.ceil(size / get_world_size())
    padding = own.new_zeros(longest - len(own), *own.shape[1:])
    parts = all_gather(torch.cat([own, padding]))
    return torch.stack(parts, dim=1).flatten(0, 1)[:size]  # repetitions and padding come last
