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
    from nasiam_mm.cli.asked import refuse_run
    from nasiam_mm.cli.outputs import check_outputs
    from nasiam_mm.export.asked import check_extraction, check_table_path

    check_outputs(args, inputs=('run',))
    check_table_path(args.out)
    refuse_run(args.run)
    check_extraction(args.data, args.batch_size)

    from nasiam_mm.datasets.headers import count_broken, name_some
    from nasiam_mm.export.embeddings import embed
    from nasiam_mm.export.tables import write_embeddings

    found = embed(args.run, args.data, args.batch_size, args.skip_unreadable)
    write_embeddings(found, args.out)
    if found.left_out:
        print(f'{count_broken(len(found.left_out))} left out: {name_some(found.left_out)}')
    print(f'{args.out}: {found.summary}')
