# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Beside searched backbones: random ones of their space and hand-made ones, of equal size."""

import itertools
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.backbones.candidates import Backbone, count_parameters, measured
from benchmarks.backbones.draw import CHANNELS
from benchmarks.backbones.equals import HAND_MADE, RANDOM, SEARCHED, WITHIN
from benchmarks.backbones.sample import write_sample
from nasiam_mm.architecture.genotype import random_genotype
from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.cli.reading import load_config
from nasiam_mm.models.backbones.decided import inline
from nasiam_mm.models.backbones.handing import backbone_choices

_TRIES = 100  # draws for each random one that is wanted
_WIDTHS = range(8, 129)  # of the first stage of a hand-made one
# By width: two basic blocks a stage, as ResNet-18; two inverted residuals of expansion 6.
BY_HAND: Mapping[str, Callable[[int], dict[str, Any]]] = {
    'resnet': lambda width: dict(type='ChoiceResNet', base_channels=width, stem_channels=width),
    'mobilenet': lambda width: dict(
        type='ChoiceMobileNet', channels=[round(c * width / CHANNELS[0]) for c in CHANNELS]
    ),
}


def draw_equals(
    config: str, genotypes: Sequence[Path], count: int, size: int, out: Path, seed: int = 0
) -> list[Backbone]:
    """Draw the equals of searched backbones, and write the sample of all of them.

    Args:
        config: Of a pretraining in the space that was searched.
        genotypes: Files of what was found there.
        count: Random backbones for each.
        size: Height and width of an image, pixels.
        out: File to write.
        seed: Of the draw.

    Raises:
        ValueError: If the config's backbone has no space, or a genotype is none of it.
    """
    base = load_config(config).model.backbone.to_dict()
    choices = backbone_choices(base)
    if not choices:
        mend = 'take one of configs/backbones/*_pretrain_*'
        raise ValueError(f"config '{config}' has no model.backbone.space to draw from; {mend}")
    base.pop('space')
    family = str(base['type']).removeprefix('Choice').lower()
    rng = np.random.Generator(np.random.PCG64(seed))

    def of(name: str, kind: str, chosen: Mapping[str, Any]) -> Backbone:
        return measured(name, family, kind, {**base, 'genotype': dict(chosen)}, size)

    found: list[Backbone] = []
    for number, file in enumerate(genotypes):
        genotype = load_genotype(file)
        searched = of(f'searched-{number}', SEARCHED, inline(genotype))
        drawn: list[Backbone] = []
        for turn in itertools.count():
            if len(drawn) == count or turn == count * _TRIES:
                break
            drawing = int(rng.integers(2**31))
            chosen = inline(random_genotype('SimCLR', choices, drawing, edges=genotype.edges))
            proposed = {**base, 'genotype': chosen}
            taken = [dict(other.config) for other in (*found, searched, *drawn)]
            if _is_equal(count_parameters(proposed), searched) and proposed not in taken:
                drawn.append(of(f'random-{number}-{len(drawn)}', RANDOM, chosen))
        found += [searched, *drawn, *_by_hand(searched, number, size)]
    write_sample(out, found, config=config, seed=seed, size=size, within=WITHIN)
    return found


def _by_hand(searched: Backbone, number: int, size: int) -> list[Backbone]:
    """Return the hand-made backbone of each family that is nearest in size, if it is an equal."""
    found = []
    for family, at in BY_HAND.items():
        sizes = _Sizes(at)
        place = bisect_left(_WIDTHS, searched.parameters, key=sizes)
        near = [_WIDTHS[n] for n in (place - 1, place) if 0 <= n < len(_WIDTHS)]
        width = min(near, key=lambda width: abs(sizes(width) - searched.parameters))
        if _is_equal(sizes(width), searched):
            found.append(measured(f'{family}-{number}', family, HAND_MADE, at(width), size))
    return found


class _Sizes(dict[int, int]):
    """Parameters of a hand-made backbone by its width."""

    def __init__(self, at: Callable[[int], dict[str, Any]]) -> None:
        super().__init__()
        self.at = at

    def __call__(self, width: int) -> int:
        if width not in self:
            self[width] = count_parameters(self.at(width))
        return self[width]


def _is_equal(parameters: int, other: Backbone) -> bool:
    return abs(parameters - other.parameters) <= WITHIN * other.parameters
