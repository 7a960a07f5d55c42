# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Draw a genotype as a picture, or the mixing weights of a search over its epochs.

nasiam draw work_dirs/simsiam_r18_search_cifar10/genotype.json
nasiam draw work_dirs/simsiam_r18_search_cifar10/alpha.json
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from nasiam_mm.cli.outputs import check_outputs
from nasiam_mm.files.regular import read_json


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument('file', type=Path, help='genotype.json or alpha.json of a search')
    parser.add_argument('--out', type=Path, help='picture, .png or .svg; by default beside it')
    kinds = ['genotype', 'alpha']
    parser.add_argument('--kind', choices=kinds, help='of file; by default what it holds')
    modules = 'modules that register your operations'
    parser.add_argument('--custom-imports', nargs='+', default=[], help=modules)


def run(args: Namespace) -> None:
    """Draw."""
    check_outputs(args, inputs=('file',))
    out = args.out or args.file.with_suffix('.png')
    if (args.kind or _kind(args.file)) == 'alpha':
        from nasiam_mm.report.pictures.alpha_curves import load_alpha_history, plot_alpha

        plot_alpha(*load_alpha_history(args.file), out)
    else:
        from mmengine.utils import import_modules_from_strings

        from nasiam_mm.architecture.reading import load_genotype
        from nasiam_mm.report.pictures.genotype_drawing import draw_genotype

        import_modules_from_strings(args.custom_imports)
        draw_genotype(load_genotype(args.file), out)
    print(f'drew {out}')


def _kind(path: Path) -> str:
    """Tell an alpha history from a genotype; what is neither is refused by the reader."""
    try:
        data = read_json(path)
    except (ValueError, OSError):
        data = None
    return 'alpha' if isinstance(data, dict) and 'epochs' in data else 'genotype'
