# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Draw the features of images as points in the plane, by scikit-learn's t-SNE.

python tools/analysis_tools/embedding_map.py CONFIG CHECKPOINT --out map.png
"""

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from nasiam_mm.cli.config import add_config_arguments
from nasiam_mm.cli.evaluated import read_evaluated
from nasiam_mm.cli.main import as_main, run_process
from nasiam_mm.cli.outputs import check_outputs
from nasiam_mm.evaluation.few_labels import balanced_subset
from nasiam_mm.probes.feature_sets import read_feature_sets
from nasiam_mm.report.pictures.figure import check_picture_path, save_figure
from nasiam_mm.versions import require

_NAMED = 20  # classes that get a name and a colour of their own


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command line."""
    add_config_arguments(parser)
    parser.add_argument('checkpoint', help='checkpoint of a search or a pretraining')
    parser.add_argument('--out', type=Path, help='picture, .png or .svg; by default in --work-dir')
    parser.add_argument('--split', choices=['val', 'test'], default='test')
    parser.add_argument('--images', type=int, default=2000, help='how many, balanced over classes')
    parser.add_argument('--perplexity', type=float, default=30.0)
    parser.add_argument('--seed', type=int, default=0, help='seed of the choice and of t-SNE')


def run(args: Namespace) -> None:
    """Extract, map, draw."""
    check_outputs(args)
    cfg = read_evaluated(args)
    out = args.out or Path(cfg.work_dir, 'map.png')
    check_picture_path(out)
    sets = read_feature_sets(cfg, args.checkpoint, with_test=args.split == 'test')
    part = getattr(sets, args.split)
    fraction = min(1, args.images / len(part.labels))
    chosen = balanced_subset(part.labels, sets.num_classes, fraction, args.seed)
    points = embed_in_plane(part.features[chosen].cpu().numpy(), args.perplexity, args.seed)
    draw_embedding(
        points,
        part.labels[chosen].cpu().numpy(),
        sets.class_names,
        out,
        f't-SNE of {len(chosen)} {args.split} images, perplexity {args.perplexity:g}',
    )
    print(f'drew {out}')


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


main = as_main(__doc__, add_arguments, run)

if __name__ == '__main__':
    run_process(main)
