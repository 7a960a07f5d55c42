# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Features as points in the plane, by scikit-learn's t-SNE."""

import os
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from nasiam_mm.report.pictures.figure import save_figure

_NAMED = 20  # classes that get a name and a colour of their own


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
    try:
        from sklearn.manifold import TSNE
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f'{error.name} is not installed and the map needs t-SNE; '
            "pip install 'nasiam_mm[analysis]'"
        ) from error
    if not 0 < perplexity < len(features):
        raise ValueError(
            f'map: perplexity {perplexity:g} needs more than {perplexity:g} images, got '
            f'{len(features)}; lower it'
        )
    norm = np.linalg.norm(features, axis=1, keepdims=True)
    normalized = features / np.maximum(norm, np.finfo(features.dtype).tiny)
    return TSNE(perplexity=perplexity, init='pca', random_state=seed).fit_transform(normalized)


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
