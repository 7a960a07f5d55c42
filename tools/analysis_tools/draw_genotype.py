# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Draw a genotype file as a picture.

python tools/analysis_tools/draw_genotype.py work_dirs/simsiam_r18_search_cifar10/genotype.json
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmengine.utils import import_modules_from_strings

from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.cli.ending import add_traceback_flag, run_tool
from nasiam_mm.report.pictures.genotype_drawing import draw_genotype


def main(argv: Sequence[str] | None = None) -> None:
    """Draw the genotype."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('genotype', type=Path, help='JSON file of a search')
    parser.add_argument(
        '--out', type=Path, help='picture, .png or .svg; beside the genotype by default'
    )
    parser.add_argument(
        '--custom-imports', nargs='+', default=[], help='modules that register your operations'
    )
    add_traceback_flag(parser)
    args = parser.parse_args(argv)
    import_modules_from_strings(args.custom_imports)
    out = args.out or args.genotype.with_suffix('.png')
    draw_genotype(load_genotype(args.genotype), out)
    print(f'drew {out}')


if __name__ == '__main__':
    run_tool(main)
