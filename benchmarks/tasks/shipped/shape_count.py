# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Counting: how many shapes are on a picture, whatever their form, colour and size."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.tasks.task import IMAGES, OTHER, SIDE, Pool, as_images, generator, task

MOST = 6  # shapes
_CANVAS = 4 * SIDE


@task('shape_count', 'number of shapes', OTHER)
def shape_count(data: Path, seed: int) -> Pool:
    """Six classes: one shape to six, which do not touch."""
    rng = generator(seed, 'shape count')
    counts = rng.permutation(IMAGES) % MOST
    return Pool(as_images([draw(1 + int(count), rng)[0] for count in counts]), counts)


def draw(count: int, rng: np.random.Generator) -> tuple[np.ndarray, list[tuple[float, ...]]]:
    """Draw shapes: the picture, uint8 (128, 128, 3), and the circle (x, y, radius) around each."""
    paper = rng.integers(0, 256, 3)
    picture = Image.new('RGB', (_CANVAS, _CANVAS), tuple(map(int, paper)))
    pen, placed = ImageDraw.Draw(picture), []
    while len(placed) < count:
        radius = float(rng.uniform(9, 18))
        x, y = (float(v) for v in rng.uniform(radius, _CANVAS - radius, 2))
        # Two pixels of an image of half the side stay between them.
        if any(np.hypot(x - a, y - b) < radius + r + 16 for a, b, r in placed):
            placed = placed if rng.uniform() < 0.98 else []  # begin anew where there is no room
            if not placed:
                pen.rectangle((0, 0, _CANVAS, _CANVAS), fill=tuple(map(int, paper)))
            continue
        ink = rng.integers(0, 256, 3)
        while np.abs(ink - paper).sum() < 200:
            ink = rng.integers(0, 256, 3)
        _shape(pen, int(rng.integers(3)), x, y, radius, tuple(map(int, ink)), rng)
        placed.append((x, y, radius))
    return np.asarray(picture), placed


def _shape(
    pen: ImageDraw.ImageDraw,
    kind: int,
    x: float,
    y: float,
    radius: float,
    ink: tuple[int, ...],
    rng: np.random.Generator,
) -> None:
    if kind == 0:
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=ink)
    else:
        pen.regular_polygon((x, y, radius), 2 + kind, float(rng.uniform(0, 360)), fill=ink)
