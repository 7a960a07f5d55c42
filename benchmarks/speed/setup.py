# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""How a benchmark is run, the configs it reads, and the images it makes."""

import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.registry import init_default_scope

from benchmarks.configs import loaders, narrow
from nasiam_mm.config_walk import walk
from nasiam_mm.datasets import resolve_data
from nasiam_mm.datasets.known import KNOWN
from nasiam_mm.datasets.source import ARRAY_NAMES, array_path, save_array, sha256_array

FRAMEWORKS = ('simsiam', 'simclr', 'mocov2', 'byol')
CIFAR10_IMAGES = 50000


@dataclass(frozen=True)
class Setup:
    """What holds for every item of a run.

    Attributes:
        root: Folder that holds ``configs/``.
        data_root: Folder of the images, which :func:`write_images` fills.
        batch_size: Images of a step, on every side.
        repeats: Turns of each side.
        device: ``'cpu'`` or ``'cuda'``.
        divisor: What every width is divided by, for a quick look.
        images: Images in ``data_root``.
        view_images: Images of a turn of the view pipelines.
        iterations: Iterations of a window of a whole run.
        workers: Loader workers of the authors' code; 5 is its default.
        lightly: Whether lightly is measured.
        solo_learn: Checkout of solo-learn, if there is one.
        nasiam: Checkout of the authors' code, if there is one.
    """

    root: str
    data_root: str
    batch_size: int = 32
    repeats: int = 5
    device: str = 'cpu'
    divisor: int = 1
    images: int = 4096
    view_images: int = 512
    iterations: int = 500
    workers: int = 5
    lightly: bool = False
    solo_learn: str | None = None
    nasiam: str | None = None

    def to_json(self) -> str:
        """Write for a fresh process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> 'Setup':
        """Read what :meth:`to_json` wrote."""
        data: dict[str, Any] = json.loads(text)
        return cls(**{field.name: data[field.name] for field in fields(cls)})

    def config(self, name: str) -> Config:
        """Read ``configs/nasiam/<name>.py`` for the images, batch and widths of this run."""
        init_default_scope('nasiam_mm')
        cfg = Config.fromfile(Path(self.root, 'configs', 'nasiam', f'{name}.py'))
        cfg.data.root = self.data_root
        resolve_data(cfg)
        for loader in loaders(cfg._cfg_dict):
            loader.batch_size = self.batch_size
        for part in walk(cfg._cfg_dict):
            if 'bank' in part and 'k' in part:
                part.k = min(part.k, self.images // 10)
        if self.divisor > 1:
            narrow(cfg.model, self.divisor)
        return cfg


def write_images(folder: Path, images: int) -> None:
    """Write seeded random images as ``CIFAR10`` reads them; speed does not depend on content."""
    draw = np.random.default_rng(0)
    counts = {'train': images, 'test': 10}
    digests = {}
    for name in ARRAY_NAMES:
        count = counts[name.split('_')[0]]
        shape = (count, 32, 32, 3) if name.endswith('images') else (count,)
        array = draw.integers(0, 256 if len(shape) > 1 else 10, shape, dtype=np.uint8)
        save_array(array_path(folder, name), array)
        digests[name] = sha256_array(array)
    replace(KNOWN['CIFAR10'], source='subset', parts=counts, digests=digests).write(folder)
