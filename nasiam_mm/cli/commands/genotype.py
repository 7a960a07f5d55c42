# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Make a genotype file without a search.

nasiam genotype random genotype.json --seed 1 --out random_1.json
nasiam genotype random heads/simclr_r18_s_head_cifar10_demo.py --seed 1 --out random_1.json
nasiam genotype import published.txt --framework MoCo --out moco_published.json

random draws uniformly from the space of a given genotype or of a config: the honest baseline. Nodes
of cells keep as many edges as what is derived there, by default two.
import parses and validates the text form of NASiam's authors, Genotype(encoder=[...]), and never
evaluates it.
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
    random = actions.add_parser(
        'random', help='draw one in the space of a given one or of a config'
    )
    given = 'genotype that gives the space, or config (*.py): a file, or as it is shipped'
    random.add_argument('input', type=Path, metavar='SPACE', help=given)
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
    from nasiam_mm.architecture.names import told

    genotype = _draw(args) if args.action == 'random' else _import(args)
    save_genotype(genotype, args.out)
    for head in genotype.heads:
        settings = [
            f'{kind}={"-".join(told((of[stage],)) for stage in sorted(of))}'
            for kind, of in genotype.stages(head).items()
        ]
        settings += [f'{kind}={told((o,))}' for kind, o in genotype.settings(head).items()]
        print(f'{head}: {" ".join([*settings, *(layer.told for layer in genotype.of(head))])}')
    for kind, option in genotype.settings().items():
        print(f'{kind}: {told((option,))}')
    print(f'wrote {args.out}')


def _draw(args: Namespace) -> 'Genotype':
    from mmengine.utils import import_modules_from_strings

    from nasiam_mm.architecture.genotype import GenotypeError, choices_of, random_genotype
    from nasiam_mm.architecture.reading import load_genotype
    from nasiam_mm.version import __version__

    import_modules_from_strings(args.custom_imports)
    more = {'space_of': args.input.name, 'versions': {'nasiam_mm': __version__}}
    if args.input.suffix == '.py':
        return _draw_of_config(args, more)
    if not args.input.exists():
        told = 'name a genotype or a config (*.py) that gives the space'
        raise FileNotFoundError(f"'{args.input}' does not exist; {told}")
    given = load_genotype(args.input)
    if 'decided_at' in given.provenance:
        more['decided_at'] = given.provenance['decided_at']
    try:
        choices = choices_of(given)
    except GenotypeError as error:
        raise GenotypeError(f"genotype '{args.input}' {error}") from None
    return random_genotype(
        given.framework, choices, args.seed, given.top_k, more, edges=given.edges
    )


def _draw_of_config(args: Namespace, more: dict) -> 'Genotype':
    from nasiam_mm.architecture.genotype import random_genotype
    from nasiam_mm.cli.reading import find_config, load_config
    from nasiam_mm.config_walk import find_hook, type_name
    from nasiam_mm.models.spaces import choices_of_model
    from nasiam_mm.search.edges import edges_kept

    cfg = load_config(find_config(args.input))
    top_k = (find_hook(cfg, 'GenotypeHook') or {}).get('top_k', 1)
    model = cfg.get('model') or {}
    try:
        choices = choices_of_model(model)
    except ValueError as error:
        raise ValueError(f"config '{args.input}': {error}") from None
    return random_genotype(
        str(type_name(model)), choices, args.seed, top_k, more, edges=edges_kept(cfg)
    )


def _import(args: Namespace) -> 'Genotype':
    from nasiam_mm.architecture.published import import_published
    from nasiam_mm.files.regular import read_text

    text = read_text(args.input)
    return import_published(text, args.framework, source=args.input.name)
