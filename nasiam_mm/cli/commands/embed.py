# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Write the features of a folder of images by the backbone of a run: .npz, .csv or .parquet.

nasiam embed runs/photos --data more --out more.npz
nasiam embed work_dirs/simsiam/epoch_800.pth --data more --out more.csv

A folder stands for the last whole checkpoint in it, or in pretrain/, baseline/ or search/ below.
Each image has a row: its path within --data, the class folder it is in, its features. No config is
needed or run.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command line."""
    add = parser.add_argument
    add('run', type=Path, help='checkpoint, or folder of a run')
    add('--data', type=Path, required=True, metavar='FOLDER', help='images, in folders or not')
    add('--out', type=Path, required=True, metavar='FILE', help='ends in .npz, .csv or .parquet')
    add('--batch-size', type=int, default=64, metavar='N', help='images at a time (64)')
    add('--skip-unreadable', action='store_true', help='leave broken files out')


def run(args: Namespace) -> None:
    """Extract and write."""
    from nasiam_mm.cli.outputs import check_outputs
    from nasiam_mm.export.tables import check_table_path, write_embeddings

    check_outputs(args, inputs=('run',))
    check_table_path(args.out)

    from nasiam_mm.datasets.headers import count_broken, name_some
    from nasiam_mm.export.embeddings import embed
    from nasiam_mm.wording import counted

    found = embed(args.run, args.data, args.batch_size, args.skip_unreadable)
    write_embeddings(found, args.out)
    if found.left_out:
        print(f'{count_broken(len(found.left_out))} left out: {name_some(found.left_out)}')
    count, width = found.features.shape
    labels = 'no labels' if found.labels is None else counted(len(set(found.labels)), 'label')
    told = f'{counted(count, "image")}, {counted(width, "feature")} each, {labels}'
    print(f'{args.out}: {told}, by {found.checkpoint}')
