# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Images beside their nearest neighbours (study 003, figure 4)."""

import os
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nasiam_mm.report.pictures.figure import save_figure

_RIGHT, _WRONG, _QUERY = '#0072B2', '#D55E00', '#000000'


def draw_neighbours(
    queries: np.ndarray,
    query_names: Sequence[str],
    neighbours: np.ndarray,
    neighbour_names: Sequence[Sequence[str]],
    cosines: np.ndarray,
    path: str | os.PathLike,
) -> None:
    """Draw a line per query: the image, then its neighbours, the nearest first.

    Neighbours of the query's class have a blue frame, others an orange one
    and the name of theirs.

    Args:
        queries: uint8 RGB images, (Q, H, W, 3).
        query_names: Q names of classes.
        neighbours: uint8 RGB images, (Q, k, H, W, 3).
        neighbour_names: Q lists of k names of classes.
        cosines: Cosine of each neighbour, (Q, k).
        path: Picture to write, .png or .svg.

    Raises:
        ValueError: If the numbers of images, names and cosines differ.
    """
    lines, columns = neighbours.shape[:2]
    counts = {len(queries), len(query_names), len(neighbour_names), len(cosines), lines}
    if len(counts) > 1 or {len(names) for names in neighbour_names} != {columns}:
        raise ValueError(
            f'neighbours: {len(queries)} queries and {len(query_names)} names do not go with '
            f'neighbours of shape {neighbours.shape}'
        )
    figure = Figure(figsize=(1.0 * (columns + 1) + 0.4, 1.25 * lines), layout='constrained')
    grid = figure.subplots(lines, columns + 1, squeeze=False)
    for line, axes in enumerate(grid):
        _show(axes[0], queries[line], query_names[line], _QUERY)
        for column in range(columns):
            name = neighbour_names[line][column]
            right = name == query_names[line]
            label = f'{cosines[line][column]:.2f}' + ('' if right else f' {name}')
            color = _RIGHT if right else _WRONG
            _show(axes[column + 1], neighbours[line, column], label, color)
    save_figure(figure, path)


def _show(axes: Axes, image: np.ndarray, label: str, color: str) -> None:
    axes.imshow(image, interpolation='nearest')
    axes.set_title(label, fontsize=7, color=color, pad=4)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color(color)
        spine.set_linewidth(2)
