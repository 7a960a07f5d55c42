# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Draw images beside their nearest neighbours among the labelled images.

The images shown are drawn by a seed, the same number of each class, not picked by how they come
out.

python tools/analysis_tools/nearest_neighbours.py CONFIG CHECKPOINT --out neighbours.png
"""

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nasiam_mm.cli.config import add_config_arguments
from nasiam_mm.cli.evaluated import read_evaluated
from nasiam_mm.cli.main import as_main, run_process
from nasiam_mm.cli.outputs import check_outputs
from nasiam_mm.evaluation.few_labels import balanced_subset
from nasiam_mm.evaluation.neighbours import nearest_neighbours
from nasiam_mm.probes.feature_sets import read_feature_sets
from nasiam_mm.report.neighbours import image_of
from nasiam_mm.report.pictures.figure import check_picture_path, save_figure

_RIGHT, _WRONG, _QUERY = '#0072B2', '#D55E00', '#000000'


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command line."""
    add_config_arguments(parser)
    parser.add_argument('checkpoint', help='checkpoint of a search or a pretraining')
    parser.add_argument('--out', type=Path, help='picture, .png or .svg; by default in --work-dir')
    parser.add_argument('--split', choices=['val', 'test'], default='test', help='of the queries')
    parser.add_argument('--per-class', type=int, default=1, help='queries of each class')
    parser.add_argument('--neighbours', type=int, default=8)
    parser.add_argument('--seed', type=int, default=0, help='seed of the choice of queries')


def run(args: Namespace) -> None:
    """Extract, look up, draw."""
    check_outputs(args)
    cfg = read_evaluated(args)
    out = args.out or Path(cfg.work_dir, 'neighbours.png')
    check_picture_path(out)
    sets = read_feature_sets(cfg, args.checkpoint, with_test=args.split == 'test')
    queries, dataset = getattr(sets, args.split), sets.datasets[args.split]
    fraction = args.per_class * sets.num_classes / len(queries.labels)
    chosen = balanced_subset(queries.labels, sets.num_classes, fraction, args.seed)
    # By class, as the picture is read.
    chosen = chosen[queries.labels[chosen].argsort(stable=True)]
    found, cosines = nearest_neighbours(
        queries.features[chosen], sets.train.features, args.neighbours
    )
    names = sets.class_names
    bank = sets.datasets['train']
    draw_neighbours(
        np.stack([image_of(dataset, int(i)) for i in chosen]),
        [names[int(label)] for label in queries.labels[chosen]],
        np.stack([[image_of(bank, int(i)) for i in line] for line in found]),
        [[names[int(sets.train.labels[i])] for i in line] for line in found],
        cosines.cpu().numpy(),
        out,
    )
    right = (sets.train.labels[found] == queries.labels[chosen][:, None]).double().mean().item()
    print(
        f'drew {out}; {100 * right:.0f} % of the neighbours shown are of the class of their image'
    )


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


main = as_main(__doc__, add_arguments, run)

if __name__ == '__main__':
    run_process(main)
