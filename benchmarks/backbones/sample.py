# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A seeded sample of backbones, stratified by parameters: as many of each size and family."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from benchmarks.backbones.candidates import Backbone
from nasiam_mm.files.atomic import write_json


def stratify(
    candidates: Sequence[Backbone], count: int, limits: tuple[int, int], seed: int
) -> list[Backbone]:
    """Choose backbones so that sizes, on a logarithmic scale, and families are even.

    The range of parameters is cut into as many strata as a family has places; each takes one of
    every family. Where a family has none there, another one's stands in, and where nobody has, the
    nearest in size that is left. Two of equal config count as one.

    Args:
        candidates: To choose from; their order does not matter.
        count: Backbones wanted.
        limits: Least and most parameters.
        seed: Of the choice.

    Returns:
        Backbones by size, renamed by family and place: ``'resnet-07'``.

    Raises:
        ValueError: If too few different ones are within the limits.
    """
    low, high = np.log(limits)
    distinct = {json.dumps(c.config, sort_keys=True): c for c in candidates}
    left = [
        distinct[key] for key in sorted(distinct)
        if limits[0] <= distinct[key].parameters <= limits[1]
    ]  # fmt: skip
    if len(left) < count:
        told = f'{len(left)} different backbones of {limits[0]:,} to {limits[1]:,} parameters'
        raise ValueError(f'{told} are too few for a sample of {count}; draw more, or widen these')
    rng = np.random.Generator(np.random.PCG64(seed))
    left = [left[n] for n in rng.permutation(len(left))]
    families = sorted({c.family for c in left})
    strata = -(-count // len(families))
    middles = low + (np.arange(strata) + 0.5) * (high - low) / strata
    # Whose turn it is when the count is no multiple of the families moves on by stratum.
    places = [
        (middle, families[(n + turn) % len(families)])
        for n, middle in enumerate(middles)
        for turn in range(len(families))
    ]
    drop = rng.permutation(len(places))[: len(places) - count]
    half = (high - low) / strata / 2
    chosen = []
    for middle, family in (place for n, place in enumerate(places) if n not in drop):
        inside = [c for c in left if abs(np.log(c.parameters) - middle) <= half]
        nearest = sorted(left, key=lambda c: abs(np.log(c.parameters) - middle))
        own = [c for c in inside if c.family == family]
        taken = (own or inside or nearest)[0]
        left.remove(taken)
        chosen.append(taken)
    chosen.sort(key=lambda c: (c.parameters, json.dumps(c.config, sort_keys=True)))
    width = len(str(count - 1))
    return [replace(c, name=f'{c.family}-{n:0{width}}') for n, c in enumerate(chosen)]


def write_sample(path: Path, backbones: Sequence[Backbone], **about: object) -> None:
    """Write a sample, and what it was drawn by, as JSON."""
    write_json({**about, 'backbones': [asdict(backbone) for backbone in backbones]}, path)


def read_sample(path: Path) -> list[Backbone]:
    """Read the backbones of a sample.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is none, or two have one name.
    """
    try:
        found = [
            Backbone(**one) for one in json.loads(path.read_text(encoding='utf-8'))['backbones']
        ]
    except (ValueError, TypeError, KeyError) as error:
        mend = "draw it anew by 'python -m benchmarks.backbones sample'"
        raise ValueError(f'{path}: not a sample of backbones: {error!s:.150}; {mend}') from None
    names = [backbone.name for backbone in found]
    if len(set(names)) < len(names):
        raise ValueError(f'{path}: two backbones have one name; draw the sample anew')
    return found
