# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Draw a random genotype with the space and widths of a given one: the honest baseline.

python tools/analysis_tools/random_genotype.py genotype.json --seed 1 --out random_1.json
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mmengine.utils import import_modules_from_strings

from nasiam_mm.architecture.genotype import random_cell, save_genotype
from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.cli.ending import add_traceback_flag, run_tool
from nasiam_mm.version import __version__


def main(argv: Sequence[str] | None = None) -> None:
    """Draw and write the genotype."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('genotype', type=Path, help='JSON file that gives space and widths')
    parser.add_argument('--seed', type=int, default=0, help='same seed, same genotype')
    parser.add_argument('--out', type=Path, required=True, help='JSON file to write')
    parser.add_argument(
        '--custom-imports', nargs='+', default=[], help='modules that register your operations'
    )
    add_traceback_flag(parser)
    args = parser.parse_args(argv)
    import_modules_from_strings(args.custom_imports)
    given = load_genotype(args.genotype)
    cells = {
        # One seed a cell, or equal shapes would draw equal operations.
        name: random_cell(given.space, cell.shapes, args.seed * len(given.cells) + n, given.edge)
        for n, (name, cell) in enumerate(given.cells.items())
    }
    provenance = {
        'drawn': 'at random, uniformly',
        'seed': args.seed,
        'shapes_of': args.genotype.name,
        'versions': {'nasiam_mm': __version__},
    }
    drawn = replace(given, cells=cells, provenance=provenance)
    save_genotype(drawn, args.out)
    for name, cell in drawn.cells.items():
        print(f'{name}: {" ".join("+".join(ops) for ops in cell.ops)}')
    print(f'wrote {args.out}')


if __name__ == '__main__':
    run_tool(main)
