# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Fit a genotype to a backbone of another width: one searched on ResNet-18 to ResNet-50.

python tools/model_converters/adapt_genotype.py genotype.json --width 2048 --out adapted.json
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmengine.utils import import_modules_from_strings
from nasiam_mm.architecture.adapt import adapt_genotype

from nasiam_mm.architecture.genotype import save_genotype
from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.cli.ending import add_traceback_flag, run_tool


def main(argv: Sequence[str] | None = None) -> None:
    """Adapt and write the genotype."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('genotype', type=Path, help='JSON file')
    parser.add_argument(
        '--width',
        type=int,
        required=True,
        help="width of the new backbone's features; ResNet-18: 512, ResNet-50: 2048",
    )
    parser.add_argument('--out', type=Path, required=True, help='JSON file to write')
    parser.add_argument(
        '--custom-imports', nargs='+', default=[], help='modules that register your operations'
    )
    add_traceback_flag(parser)
    args = parser.parse_args(argv)
    import_modules_from_strings(args.custom_imports)
    given = load_genotype(args.genotype)
    adapted = adapt_genotype(given, args.width)
    save_genotype(adapted, args.out)
    if adapted is given:
        print(f'the projector takes width {args.width} already')
    else:
        record = adapted.provenance['adapted'][-1]
        print('projector: width {} -> {}'.format(*record['width']))
        for change in record['renamed']:
            print(f'projector {change}')
    print(f'wrote {args.out}')


if __name__ == '__main__':
    run_tool(main)
