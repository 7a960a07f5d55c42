# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Features to look at: points in the plane, and images beside their nearest neighbours."""

import os
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nasiam_mm.report.pictures.figure import save_figure
from nasiam_mm.versions import require

_NAMED = 20  # classes that get a name and a colour of their own in a map
_RIGHT, _WRONG, _QUERY = '#0072B2', '#D55E00', '#000000'


def embed_in_plane(features: np.ndarray, perplexity: float = 30.0, seed: int = 0) -> np.ndarray:
    """Map features to the plane by t-SNE (van der Maaten & Hinton, JMLR 2008).

    The features are L2-normalised, as kNN compares them. Distances between far
    points and sizes of clusters mean nothing.

    Args:
        features: (N, D).
        perplexity: Neighbours that count, about; below N.
        seed: Seed of the optimisation.

    Returns:
        Points, (N, 2).

    Raises:
        ValueError: If there are too few features for the perplexity.
        ModuleNotFoundError: If scikit-learn is not installed.
    """
    manifold = require('sklearn.manifold', 'analysis')
    if not 0 < perplexity < len(features):
        raise ValueError(
            f'map: perplexity {perplexity:g} needs more than {perplexity:g} images, got '
            f'{len(features)}; lower it'
        )
    norm = np.linalg.norm(features, axis=1, keepdims=True)
    normalized = features / np.maximum(norm, np.finfo(features.dtype).tiny)
    tsne = manifold.TSNE(perplexity=perplexity, init='pca', random_state=seed)
    return tsne.fit_transform(normalized)


def draw_embedding(
    points: np.ndarray,
    labels: np.ndarray,
    names: Sequence[str],
    path: str | os.PathLike,
    title: str = '',
) -> None:
    """Draw points coloured by class.

    Args:
        points: (N, 2).
        labels: Class indices, (N,).
        names: Name of each class; a legend stands for at most twenty.
        path: Picture to write, .png or .svg.
        title: Title of the picture.
    """
    figure = Figure(figsize=(7.2, 6.0), layout='constrained')
    axes = figure.subplots()
    few = len(names) <= _NAMED
    colors = matplotlib.colormaps['tab10' if len(names) <= 10 else 'tab20' if few else 'hsv']
    for label, name in enumerate(names):
        chosen = points[labels == label]
        color = colors(label if few else label / len(names))
        axes.scatter(chosen[:, 0], chosen[:, 1], s=6, color=color, label=name, linewidths=0)
    if few:
        axes.legend(markerscale=2.5, fontsize=8, loc='center left', bbox_to_anchor=(1.0, 0.5))
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(title)
    save_figure(figure, path)


def draw_neighbours(
    queries: np.ndarray,
    query_names: Sequence[str],
    neighbours: np.ndarray,
    neighbour_names: Sequence[Sequence[str]],
    cosines: np.ndarray,
    path: str | os.PathLike,
) -> None:
    """Draw a line per query: the image, then its neighbours (study 003, figure 4).

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
