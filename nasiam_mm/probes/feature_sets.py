# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Features of a network, in parts that share no image, and what their neighbours say of it."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import Dataset

from nasiam_mm.config_walk import type_name
from nasiam_mm.files.atomic import atomic_path
from nasiam_mm.files.checkpoint import read_checkpoint
from nasiam_mm.files.config_text import config_within
from nasiam_mm.probes.extract import FeatureSet as FeatureSet
from nasiam_mm.probes.extract import extract_features as extract_features
from nasiam_mm.probes.measures import Found, build_measures, measure_found, require_images
from nasiam_mm.probes.section import Probe, check_disjoint, read_probe
from nasiam_mm.probes.views import QueryViews

# Settings of what there is none of: hooks read some, and would be missed.
_OF_TRAINING = ('train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler')


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
    evaluated = cfg.copy()
    evaluated.default_hooks, evaluated.custom_hooks = {}, []
    for name in _OF_TRAINING:
        evaluated[name] = None
    build = RUNNERS.build if 'runner_type' in cfg else Runner.from_cfg
    runner = build(evaluated)
    runner.cfg.optim_wrapper = cfg.get('optim_wrapper')  # in whose precision features are computed
    load_strictly(runner, checkpoint)
    return runner, Probe(**runner.cfg.probe)  # in which the data section is written out


def load_strictly(runner: Runner, checkpoint: str) -> None:
    """Load a checkpoint, or raise ValueError if its entries are not exactly the network's."""
    try:
        runner.load_checkpoint(checkpoint, strict=True)
    except RuntimeError as error:
        raise ValueError(
            f"checkpoint '{checkpoint}' is not of config '{runner.cfg.filename}', take the config "
            f'in its folder: {_difference(runner, checkpoint, error)}'
        ) from error


def _difference(runner: Runner, checkpoint: str, error: RuntimeError) -> str:
    """Tell what sets a checkpoint apart: its framework where that is another, or its entries."""
    with suppress(ValueError):  # one without a config has its entries alone
        model = config_within(read_checkpoint(checkpoint, 'cpu', mmap=True)).get('model')
        ours = type_name(runner.cfg.model)
        if isinstance(model, dict) and (theirs := type_name(model)) != ours:
            return f'it is of model {theirs}, and the config of {ours}'
    return shorten(' '.join(str(error).split()), 300)


def measure(
    model: nn.Module,
    probe: Probe,
    split: str = 'val',
    seed: int | None = None,
    cfg: Mapping[str, Any] = {},
) -> dict[str, float]:
    """Classify a split by its neighbours: ``knn/{split}_top1`` and, past five classes, ``_top5``.

    In percent; and ``measure/{name}`` for each of the probe's further measures, in its own unit,
    on the images of that split in place of the query. Without labels these alone. ``seed`` is of
    loaders still to be built, ``cfg`` the run's. Of several processes all have to call it.
    """
    built = probe.build(split, seed)
    loaders: list[Any] = [built.loader('train'), built.loader(split)]
    measures = build_measures(probe.measures)
    require_images(measures, len(loaders[1].dataset), split)
    bank, query = (extract_features(model, loader, cfg, probe.labelled) for loader in loaders)
    num_classes = count_classes([loader.dataset for loader in loaders], [bank, query])
    blocks = dict(chunk_size=probe.chunk_size, bank_block=probe.bank_block)
    views = QueryViews(model, loaders[1], cfg)
    found = Found(bank, query, num_classes, probe.k, probe.temperature, blocks, views)
    top = found.knn if probe.labelled else {}
    scalars = {f'knn/{split}_{name}': value for name, value in top.items()}
    return scalars | measure_found(measures, found)


def tell(scalars: Mapping[str, float]) -> str:
    """Write figures for a line of the log: percents by two digits, others by four that count."""
    told = [(k, f'{v:.2f}' if k.startswith('knn/') else f'{v:.4g}') for k, v in scalars.items()]
    return '  '.join(f'{name}: {value}' for name, value in told)


def count_classes(datasets: list, sets: list[FeatureSet]) -> int:
    """Return the number of classes: those that a data set names, or that its labels show."""
    named = [len(getattr(dataset, 'metainfo', {}).get('classes') or ()) for dataset in datasets]
    return max(*named, *(1 + int(found.labels.max()) for found in sets))
