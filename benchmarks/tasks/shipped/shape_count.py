# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Counting: how many shapes are on a picture, whatever their form, colour and size."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.tasks.task import IMAGES, OTHER, SIDE, Pool, as_images, generator, task

MOST = 6  # shapes
GAP = 2  # pixels of the canvas around a shape that no other reaches
_CANVAS = 2 * SIDE  # drawn at, and averaged down
_CELLS = 3  # in a row and in a column; a shape stays in its own
_RADIUS = (4.0, 8.0)


@task('shape_count', 'number of shapes', OTHER)
def shape_count(data: Path, seed: int) -> Pool:
    """Six classes: one shape to six, which do not touch."""
    rng = generator(seed, 'shape count')
    counts = rng.permutation(IMAGES) % MOST
    return Pool(as_images([draw(1 + int(count), rng)[0] for count in counts]), counts)


def draw(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw shapes: the picture, uint8 (64, 64, 3), and the circle (x, y, radius) around each."""
    paper = rng.integers(0, 256, 3)
    picture = Image.new('RGB', (_CANVAS, _CANVAS), tuple(paper.tolist()))
    pen, cell = ImageDraw.Draw(picture), _CANVAS / _CELLS
    radius = rng.uniform(*_RADIUS, count)
    room = np.maximum(cell / 2 - radius - GAP, 0)
    rows, columns = np.divmod(rng.permutation(_CELLS**2)[:count], _CELLS)
    shift = rng.uniform(-1, 1, (2, count)) * room
    placed = np.stack([(columns + 0.5) * cell + shift[0], (rows + 0.5) * cell + shift[1], radius])
    # Far from the paper in every colour.
    inks = (paper + rng.integers(80, 177, (count, 3))) % 256
    kinds, turns = rng.integers(3, size=count), rng.uniform(0, 360, count)
    for n, (x, y, r) in enumerate(placed.T.tolist()):
        ink = tuple(inks[n].tolist())
        if kinds[n] == 0:
            pen.ellipse((x - r, y - r, x + r, y + r), fill=ink)
        else:
            pen.regular_polygon((x, y, r), 2 + int(kinds[n]), float(turns[n]), fill=ink)
    return np.asarray(picture), placed.T
