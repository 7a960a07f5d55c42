# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Make a genotype file without a search.

nasiam genotype random genotype.json --seed 1 --out random_1.json
nasiam genotype import published.txt --framework MoCo --out moco_published.json

random draws uniformly from the space of a given genotype: the honest baseline. import parses and
validates the text form of NASiam's authors, Genotype(encoder=[...]), and never evaluates it.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from nasiam_mm.cli.outputs import check_outputs

if TYPE_CHECKING:
    from nasiam_mm.architecture.genotype import Genotype


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command line."""
    actions = parser.add_subparsers(dest='action', required=True, metavar='ACTION')
    random = actions.add_parser('random', help='draw one in the space of a given one')
    random.add_argument('input', type=Path, metavar='GENOTYPE', help='file that gives the space')
    random.add_argument('--seed', type=int, default=0, help='same seed, same genotype')
    modules = 'modules that register your operations'
    random.add_argument('--custom-imports', nargs='+', default=[], help=modules)
    published = actions.add_parser('import', help="convert the authors' text form")
    published.add_argument('input', type=Path, help='text file with one Genotype(...)')
    frameworks = ['SimSiam', 'MoCo', 'SimCLR']
    published.add_argument('--framework', required=True, choices=frameworks, help='searched in')
    for action in (random, published):
        action.add_argument('--out', type=Path, required=True, help='JSON file to write')


def run(args: Namespace) -> None:
    """Make, write and print the genotype."""
    check_outputs(args, inputs=('input',))
    from nasiam_mm.architecture.genotype import save_genotype

    genotype = _draw(args) if args.action == 'random' else _import(args)
    save_genotype(genotype, args.out)
    for head in genotype.heads:
        print(f'{head}: {" ".join("+".join(layer.chosen) for layer in genotype.of(head))}')
    print(f'wrote {args.out}')


def _draw(args: Namespace) -> 'Genotype':
    from mmengine.utils import import_modules_from_strings

    from nasiam_mm.architecture.genotype import choices_of, random_genotype
    from nasiam_mm.architecture.reading import load_genotype
    from nasiam_mm.version import __version__

    import_modules_from_strings(args.custom_imports)
    given = load_genotype(args.input)
    told = {'space_of': args.input.name, 'versions': {'nasiam_mm': __version__}}
    if 'decided_at' in given.provenance:
        told['decided_at'] = given.provenance['decided_at']
    return random_genotype(given.framework, choices_of(given), args.seed, given.top_k, told)


def _import(args: Namespace) -> 'Genotype':
    from nasiam_mm.architecture.published import import_published
    from nasiam_mm.files.regular import read_text

    text = read_text(args.input)
    return import_published(text, args.framework, source=args.input.name)
