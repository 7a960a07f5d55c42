# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Draw images beside their nearest neighbours among the labelled images.

The images shown are drawn by a seed, the same number of each class, not picked by how they come
out.

nasiam neighbours CONFIG CHECKPOINT --out neighbours.png
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from nasiam_mm.cli.config import add_config_arguments, read_evaluated
from nasiam_mm.cli.outputs import check_outputs


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

    import numpy as np

    from nasiam_mm.evaluation.few_labels import balanced_subset
    from nasiam_mm.evaluation.knn import nearest_neighbours
    from nasiam_mm.probes.feature_sets import image_of, read_feature_sets
    from nasiam_mm.report.pictures.features import draw_neighbours
    from nasiam_mm.report.pictures.figure import check_picture_path

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
