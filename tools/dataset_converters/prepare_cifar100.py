# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Bring CIFAR-100 to ``data/cifar100`` and check it; do nothing where it is there and right.

python tools/dataset_converters/prepare_cifar100.py
python tools/dataset_converters/prepare_cifar100.py --archive cifar-100-python.tar.gz
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--root', type=Path, default=Path('data/cifar100'), help='folder to fill')
    parser.add_argument('--archive', type=Path, help='the official archive, already here')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Prepare the data; return the exit status."""
    args = parse_args(argv)
    try:
        # The package loads torch, which --help and a mistyped option need not wait for.
        from nasiam_mm.datasets.prepare import prepare_cifar

        prepare_cifar('CIFAR100', args.root, archive=args.archive)
    except (OSError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('\ninterrupted; run the same command again to go on', file=sys.stderr)
        return 130
    return 0


if __name__ == '__main__':
    sys.exit(main())
