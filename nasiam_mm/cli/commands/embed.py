# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Draw the features of images as points in the plane, by scikit-learn's t-SNE.

nasiam embed CONFIG CHECKPOINT --out map.png
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
    parser.add_argument('--split', choices=['val', 'test'], default='test')
    parser.add_argument('--images', type=int, default=2000, help='how many, balanced over classes')
    parser.add_argument('--perplexity', type=float, default=30.0)
    parser.add_argument('--seed', type=int, default=0, help='seed of the choice and of t-SNE')


def run(args: Namespace) -> None:
    """Extract, map, draw."""
    check_outputs(args)
    cfg = read_evaluated(args)

    from nasiam_mm.evaluation.few_labels import balanced_subset
    from nasiam_mm.probes.feature_sets import read_feature_sets
    from nasiam_mm.report.pictures.features import draw_embedding, embed_in_plane
    from nasiam_mm.report.pictures.figure import check_picture_path

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
