# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Backbones at random: of the spaces of configs/backbones, at several widths."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import ROOT
from benchmarks.backbones.candidates import Backbone, measured
from benchmarks.backbones.sample import stratify, write_sample
from nasiam_mm.architecture.choice import Choice
from nasiam_mm.architecture.genotype import random_genotype
from nasiam_mm.cli.reading import load_config
from nasiam_mm.models.backbones.decided import inline
from nasiam_mm.models.backbones.handing import backbone_choices

FAMILIES = {
    'resnet': 'configs/backbones/simclr_resnet_pretrain_cifar10_demo.py',
    'mobilenet': 'configs/backbones/simclr_mobilenet_pretrain_cifar10_demo.py',
}
CHANNELS = (16, 24, 32, 64)  # of a MobileNet at width 1
BASE = 16  # of a ResNet's first stage


@dataclass(frozen=True)
class Scale:
    """How a sample is drawn.

    Attributes:
        count: Backbones.
        limits: Least and most parameters.
        widths: That the spaces are taken at, as ratios.
        size: Height and width of the images, pixels.
        each: Candidates of a family.
        most_macs: Of one image; what takes longer is left out.
        seed: Of the draw.
    """

    count: int
    limits: tuple[int, int]
    widths: tuple[float, ...]
    size: int
    each: int
    most_macs: int
    seed: int = 0


SCALES = {
    'demo': Scale(24, (10_000, 100_000), (0.5, 0.75, 1), 16, 150, 4_500_000),
    'paper': Scale(116, (60_000, 2_000_000), (0.75, 1, 1.5, 2, 3, 4), 32, 300, 600_000_000),
}


@lru_cache(maxsize=64)
def _space(family: str, ratio: float) -> tuple[dict[str, Any], Mapping[str, tuple[Choice, ...]]]:
    """Return the config of a family at a width, without its space, and the choices of that."""
    config = load_config(str(ROOT / FAMILIES[family])).model.backbone.to_dict()
    if family == 'resnet':
        width = 8 * round(BASE * ratio / 8)
        config |= dict(base_channels=width, stem_channels=width)
    else:
        config |= dict(channels=[8 * max(1, round(c * ratio / 8)) for c in CHANNELS])
    choices = backbone_choices(config)
    del config['space']
    return config, choices


def draw(family: str, ratio: float, seed: int, size: int) -> Backbone:
    """Draw a backbone uniformly from the space of a family at a width."""
    config, choices = _space(family, ratio)
    chosen = inline(random_genotype('SimCLR', choices, seed))
    return measured('', family, 'random', {**config, 'genotype': chosen}, size)


def draw_sample(name: str, out: Path) -> list[Backbone]:
    """Draw the sample of a scale and write it.

    Raises:
        ValueError: If there is no such scale.
    """
    if name not in SCALES:
        raise ValueError(f'there is no scale {name!r}; take one of {", ".join(SCALES)}')
    scale = SCALES[name]
    rng = np.random.Generator(np.random.PCG64(scale.seed))
    candidates = [
        draw(family, float(rng.choice(scale.widths)), int(rng.integers(2**31)), scale.size)
        for family in FAMILIES
        for _ in range(scale.each)
    ]
    candidates = [found for found in candidates if found.macs <= scale.most_macs]
    found = stratify(candidates, scale.count, scale.limits, scale.seed)
    write_sample(out, found, scale=name, **asdict(scale))
    return found
