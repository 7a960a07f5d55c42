# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The features of a pretrained network, extracted once, in parts that share no image."""

from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten

import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from torch.utils.data import Dataset

from nasiam_mm.datasets.split import innermost
from nasiam_mm.files.atomic import atomic_path
from nasiam_mm.probes.features import FeatureSet, count_classes, extract_features
from nasiam_mm.probes.section import Probe, check_disjoint, read_probe


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

    The parts are those of the config's probe: its bank is labelled, its query images are for
    validation. ``val_fraction``, such as 0.2, cuts the whole training split into both instead.
    ValueError if the checkpoint is of another network, there is no probe, or parts share an image.
    """
    runner, probe = load_probed(cfg, checkpoint)
    if val_fraction is not None:
        probe = probe.recut(val_fraction)
    parts = ('train', 'val', 'test') if with_test else ('train', 'val')
    loaders = {part: runner.build_dataloader(probe.loader(part)) for part in parts}
    datasets = {part: loader.dataset for part, loader in loaders.items()}
    check_disjoint(datasets['train'], datasets['val'])
    sets = {part: extract_features(runner.model, loader) for part, loader in loaders.items()}
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
    # The runner's config, in which the data section is written out.
    return runner, Probe(**runner.cfg.probe)


def load_strictly(runner: Runner, checkpoint: str) -> None:
    """Load a checkpoint, or raise ValueError if its entries are not exactly the network's."""
    try:
        runner.load_checkpoint(checkpoint, strict=True)
    except RuntimeError as error:
        raise ValueError(
            f"checkpoint '{checkpoint}' is not of config '{runner.cfg.filename}', take the config "
            f'in its folder: {shorten(" ".join(str(error).split()), 300)}'
        ) from error


def image_of(dataset: Dataset, index: int) -> np.ndarray:
    """Return an image of a part as the network's pipeline leaves it, uint8 RGB (H, W, 3)."""
    image = dataset[index]['inputs'].permute(1, 2, 0).numpy()
    steps = innermost(dataset).pipeline.transforms
    # mmcv reads files in the order of OpenCV; NumpyToPIL(to_rgb=True) may have turned it.
    is_bgr = any(isinstance(step, LoadImageFromFile) for step in steps)
    is_bgr &= not any(getattr(step, 'to_rgb', False) for step in steps)
    return image[..., ::-1] if is_bgr else image
