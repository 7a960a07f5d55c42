# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Make a genotype file without a search.

nasiam genotype random genotype.json --seed 1 --out random_1.json
nasiam genotype import published.txt --framework MoCo --width 512 --out moco_published.json

random draws uniformly from the space of a given genotype: the honest baseline. import parses and
validates the text form of NASiam's authors, Genotype(encoder=[...]), and never evaluates it.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from nasiam_mm.cli.outputs import check_outputs


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command line."""
    actions = parser.add_subparsers(dest='action', required=True, metavar='ACTION')
    random = actions.add_parser('random', help='draw one in the space of a given one')
    random.add_argument('input', type=Path, metavar='GENOTYPE', help='file that gives the space')
    random.add_argument('--seed', type=int, default=0, help='same seed, same genotype')
    random.add_argument(
        '--custom-imports', nargs='+', default=[], help='modules that register your operations'
    )
    published = actions.add_parser('import', help="convert the authors' text form")
    published.add_argument('input', type=Path, help='text file with one Genotype(...)')
    published.add_argument(
        '--framework', required=True, choices=['SimSiam', 'MoCo', 'SimCLR'], help='searched in'
    )
    published.add_argument(
        '--width', type=int, required=True, help="width of the backbone's features; ResNet-18: 512"
    )
    for action in (random, published):
        action.add_argument('--out', type=Path, required=True, help='JSON file to write')


def run(args: Namespace) -> None:
    """Make, write and print the genotype."""
    check_outputs(args, inputs=('input',))
    from nasiam_mm.architecture.genotype import save_genotype

    genotype = _draw(args) if args.action == 'random' else _import(args)
    save_genotype(genotype, args.out)
    for name, cell in genotype.cells.items():
        print(f'{name}: {" ".join("+".join(ops) for ops in cell.ops)}')
    print(f'wrote {args.out}')


def _draw(args: Namespace):
    from dataclasses import replace

    from mmengine.utils import import_modules_from_strings

    from nasiam_mm.architecture.genotype import random_cell
    from nasiam_mm.architecture.reading import load_genotype
    from nasiam_mm.version import __version__

    import_modules_from_strings(args.custom_imports)
    given = load_genotype(args.input)
    cells = {
        # One seed a cell, or equal shapes would draw equal operations.
        name: random_cell(given.space, cell.shapes, args.seed * len(given.cells) + n, given.edge)
        for n, (name, cell) in enumerate(given.cells.items())
    }
    provenance = {
        'drawn': 'at random, uniformly',
        'seed': args.seed,
        'shapes_of': args.input.name,
        'versions': {'nasiam_mm': __version__},
    }
    return replace(given, cells=cells, provenance=provenance)


def _import(args: Namespace):
    from nasiam_mm.architecture.published import import_published

    try:
        text = args.input.read_text(encoding='utf-8')
    except UnicodeDecodeError as error:
        raise ValueError(f"published genotype '{args.input}' is not text: {error}") from None
    return import_published(text, args.framework, args.width, source=args.input.name)
