# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
r"""Convert a genotype in the NASiam authors' text form to a genotype file.

The text is parsed and validated, never evaluated::

    echo "Genotype(encoder=[['avgpool_3x3'], ['identity']])" > moco.txt
    python tools/model_converters/import_published_genotype.py moco.txt --framework MoCo \
        --width 512 --out genotypes/moco_published.json
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from nasiam_mm.architecture.genotype import save_genotype
from nasiam_mm.architecture.published import import_published
from nasiam_mm.cli.ending import add_traceback_flag, run_tool


def main(argv: Sequence[str] | None = None) -> None:
    """Convert the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('input', type=Path, help='text file with one Genotype(...)')
    parser.add_argument(
        '--framework', required=True, choices=['SimSiam', 'MoCo', 'SimCLR'], help='searched in'
    )
    parser.add_argument(
        '--width', type=int, required=True, help="width of the backbone's features; ResNet-18: 512"
    )
    parser.add_argument('--out', type=Path, required=True, help='JSON file to write')
    add_traceback_flag(parser)
    args = parser.parse_args(argv)
    try:
        text = args.input.read_text(encoding='utf-8')
    except UnicodeDecodeError as error:
        raise ValueError(f"published genotype '{args.input}' is not text: {error}") from None
    genotype = import_published(text, args.framework, args.width, source=args.input.name)
    save_genotype(genotype, args.out)
    for name, cell in genotype.cells.items():
        print(f'{name}: {" ".join("+".join(ops) for ops in cell.ops)}')
    print(f'wrote {args.out}')


if __name__ == '__main__':
    run_tool(main)
