# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The features of a pretrained network, extracted once, in parts that share no image."""

from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten

import numpy as np
from mmengine.config import Config, ConfigDict
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from torch import Tensor
from torch.utils.data import Dataset

from nasiam_mm.cli.config import find_hook, test_split
from nasiam_mm.cli.ending import one_line
from nasiam_mm.files.atomic import atomic_path
from nasiam_mm.probes.features import extract_features


@dataclass(frozen=True)
class FeatureSet:
    """Features, (N, D), and labels, (N,), of one part."""

    features: Tensor
    labels: Tensor


@dataclass(frozen=True)
class FeatureSets:
    """What an evaluation works with.

    Attributes:
        train: The labelled images: bank of kNN, training set of a classifier.
        val: What every setting is selected on (contract C10).
        test: What the selected settings are reported on, if asked for.
        num_classes: Number of classes C.
        datasets: The data sets by part, to look images up in.
    """

    train: FeatureSet
    val: FeatureSet
    test: FeatureSet | None
    num_classes: int
    datasets: dict[str, Dataset]

    def save(self, path: str | Path) -> None:
        """Write the features as ``{part}_features`` and ``{part}_labels`` of an .npz file."""
        arrays = {}
        for part in ('train', 'val', 'test'):
            found = getattr(self, part)
            if found is not None:
                arrays[f'{part}_features'] = found.features.cpu().numpy()
                arrays[f'{part}_labels'] = found.labels.cpu().numpy()
        with atomic_path(Path(path)) as temporary, temporary.open('wb') as file:
            np.savez(file, **arrays)


def read_feature_sets(
    cfg: Config, checkpoint: str, with_test: bool = False, val_fraction: float | None = None
) -> FeatureSets:
    """Load a checkpoint into its config's network and extract the backbone's features.

    The parts are those of the config's KNNHook: its bank is labelled, its
    query images are for validation.

    Args:
        cfg: Config of a search or a pretraining.
        checkpoint: Checkpoint of that config.
        with_test: Whether to extract the test split too.
        val_fraction: Cut the whole training split into labelled and validation
            images by this fraction instead, such as 0.2 for the 80/20 split.

    Raises:
        ValueError: If the checkpoint is of another network, the config has no
            KNNHook, or its parts share an image.
    """
    loaders = part_loaders(cfg, with_test, val_fraction)
    # The hooks act on training, which there is none of.
    cfg.custom_hooks = []
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    try:
        runner.load_checkpoint(checkpoint, strict=True)
    except RuntimeError as error:
        raise ValueError(
            f"checkpoint '{checkpoint}' is not of config '{cfg.filename}', take the config in its "
            f'folder: {shorten(one_line(error), 300)}'
        ) from error
    built = {part: runner.build_dataloader(loader) for part, loader in loaders.items()}
    datasets = {part: loader.dataset for part, loader in built.items()}
    _check_disjoint(datasets['train'], datasets['val'])
    device = next(runner.model.parameters()).device
    sets = {}
    for part, loader in built.items():
        features, labels = extract_features(runner.model, loader)
        sets[part] = FeatureSet(features.to(device), labels.to(device))
    classes = datasets['train'].metainfo.get('classes') or ()
    highest = max(int(found.labels.max()) for found in sets.values())
    return FeatureSets(
        sets['train'], sets['val'], sets.get('test'), max(len(classes), 1 + highest), datasets
    )


def part_loaders(cfg: Config, with_test: bool, val_fraction: float | None) -> dict[str, ConfigDict]:
    """Return the loader configs of the parts: train, val and, where asked, test."""
    knn = find_hook(cfg, 'KNNHook')
    if knn is None:
        raise ValueError(
            f"config '{cfg.filename}' has no KNNHook to take the labelled and the validation "
            'images from; give one of configs/nasiam/'
        )
    loaders = {'train': knn.bank_dataloader, 'val': knn.query_dataloader}
    if val_fraction is not None:
        if not 0 < val_fraction < 1:
            raise ValueError(f'the validation part must be between 0 and 1, got {val_fraction}')
        whole = loaders['train']['dataset']
        while 'dataset' in whole:
            whole = whole['dataset']
        parts = dict(train=1 - val_fraction, val=val_fraction)
        for part in parts:
            cut = dict(type='SplitDataset', dataset=whole, parts=parts, part=part, seed=0)
            loaders[part] = {**loaders[part], 'dataset': cut}
    if with_test:
        loaders['test'] = {**loaders['val'], 'dataset': test_split(loaders['val']['dataset'])}
    return loaders


def _check_disjoint(train: Dataset, val: Dataset) -> None:
    """Refuse a labelled image that is in the validation part as well."""
    for dataset in (train, val):
        if not hasattr(dataset, 'indices'):
            raise ValueError(
                f'the loaders of KNNHook need a SplitDataset each, got {type(dataset).__name__}'
            )
    shared = np.intersect1d(train.indices, val.indices)
    if len(shared):
        raise ValueError(
            f'{len(shared)} images are both labelled and for validation; give the loaders of '
            "KNNHook a SplitDataset with equal 'parts' and 'seed' and another 'part'"
        )


def image_of(dataset: Dataset, index: int) -> np.ndarray:
    """Return an image of a part as the network's pipeline leaves it, uint8 RGB (H, W, 3)."""
    image = dataset[index]['inputs'].permute(1, 2, 0).numpy()
    inner = dataset
    while hasattr(inner, 'dataset'):
        inner = inner.dataset
    # mmcv reads files in the order of OpenCV; NumpyToPIL(to_rgb=True) may have turned it.
    steps = {type(step).__name__: step for step in inner.pipeline.transforms}
    turned = getattr(steps.get('NumpyToPIL'), 'to_rgb', False)
    return image[..., ::-1] if 'LoadImageFromFile' in steps and not turned else image


def class_names(sets: FeatureSets) -> list[str]:
    """Return the name of each class, or its number where the data set names none."""
    names = sets.datasets['train'].metainfo.get('classes') or range(sets.num_classes)
    return [str(name) for name in names]
