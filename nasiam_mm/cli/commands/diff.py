# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Compare runs, studies or genotypes side by side, on one page and in a few lines.

nasiam diff work_dirs/searched work_dirs/standard
nasiam diff first/genotype.json second/genotype.json --out heads.html

Settings that differ, figures, heads layer by layer, curves over each other.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from nasiam_mm.cli.asked import refuse_page

_SHOWN = 12  # settings, and choices, that differ, in the lines


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command line."""
    add = parser.add_argument
    add('paths', type=Path, nargs='+', metavar='PATH', help='work directories or genotypes')
    add('--out', type=Path, default=Path('diff.html'), help='page to write (diff.html)')
    modules = 'modules that register your operations'
    add('--custom-imports', nargs='+', default=[], help=modules)


def run(args: Namespace) -> None:
    """Read, compare, write.

    Raises:
        ValueError: If there is one alone, more than eight, or the page is no .html.
    """
    if not 2 <= len(args.paths) <= 8:
        raise ValueError(f'diff compares two to eight, got {len(args.paths)}; name more, or fewer')
    refuse_page(args.out, args.paths)

    from mmengine.utils import import_modules_from_strings

    from nasiam_mm.refusals import plain
    from nasiam_mm.report.page.compare import choices_that_differ, differing, figures_of
    from nasiam_mm.report.page.write import write_comparison

    import_modules_from_strings(args.custom_imports)
    runs = write_comparison(args.paths, args.out)
    print(' | '.join(['', *(facts.name for facts in runs)]))
    for name, values in figures_of(runs).items():
        print(' | '.join([name, *values]))
    found = differing(runs)
    for name, settings in list(found.items())[:_SHOWN]:
        print(plain(' | '.join([name, *map(str, settings)])))
    if len(found) > _SHOWN:
        print(f'and {len(found) - _SHOWN} settings more that differ')
    chosen = choices_that_differ(runs)
    for name, options in list(chosen.items())[:_SHOWN]:
        print(plain(' | '.join([name, *options])))
    if len(chosen) > _SHOWN:
        print(f'and {len(chosen) - _SHOWN} choices more that differ')
    print(f'wrote {args.out}')
