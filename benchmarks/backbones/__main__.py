# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Draw the backbones of a study, and write its page from its rows.

    python -m benchmarks.backbones sample --scale demo
    python -m benchmarks.backbones equals --config CONFIG --genotypes A.json B.json --out FILE
    python -m benchmarks.backbones page --rows docs/results/backbones/backbones_demo_rows.jsonl

What is between is a table: python -m benchmarks.papers backbones --scale demo, or
searched_backbones for what "equals" puts beside searched ones. A page is written between the
marks of --into, and the rest of that file stays.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from benchmarks.command import run_module

BEGIN, END = '<!-- made from rows: begin -->', '<!-- made from rows: end -->'
PAGE = Path('docs/backbones_study.md')


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command line."""
    actions = parser.add_subparsers(dest='action', required=True, metavar='ACTION')
    sample = actions.add_parser('sample', help='draw backbones, even by size and family')
    sample.add_argument('--scale', default='demo', help='of benchmarks/backbones/draw.py')
    sample.add_argument('--out', type=Path, help='JSON file; by default that of the scale')
    equals = actions.add_parser('equals', help='others as large as searched backbones')
    equals.add_argument('--config', required=True, help='of the pretraining of that space')
    equals.add_argument('--genotypes', nargs='+', type=Path, required=True, help='of searches')
    equals.add_argument('--count', type=int, default=5, help='random ones for each')
    equals.add_argument('--size', type=int, default=16, help='side of the images, pixels')
    equals.add_argument('--out', type=Path, required=True, help='JSON file of the sample')
    page = actions.add_parser('page', help='write what rows say into a page')
    page.add_argument('--rows', type=Path, required=True)
    page.add_argument('--into', type=Path, default=PAGE, help='Markdown file with both marks')


def run(args: Namespace) -> None:
    """Draw or write."""
    {'sample': _sample, 'equals': _equals, 'page': _page}[args.action](args)


def _sample(args: Namespace) -> None:
    from benchmarks.backbones.draw import draw_sample
    from benchmarks.backbones.table import FOLDER

    out = args.out or FOLDER / f'samples/{args.scale}.json'
    found = draw_sample(args.scale, out)
    sizes = [backbone.parameters for backbone in found]
    print(f'{out}: {len(found)} backbones of {min(sizes):,} to {max(sizes):,} parameters')


def _equals(args: Namespace) -> None:
    from benchmarks.backbones.draw_equals import draw_equals

    found = draw_equals(args.config, args.genotypes, args.count, args.size, args.out)
    for backbone in found:
        print(f'{backbone.name}: {backbone.parameters:,} parameters, {backbone.macs:,} MACs')


def _page(args: Namespace) -> None:
    from benchmarks.backbones.page import render_page
    from benchmarks.backbones.rows import read_rows
    from nasiam_mm.files.atomic import write_text

    text = args.into.read_text(encoding='utf-8')
    write_text(within_marks(text, render_page(read_rows(args.rows)), str(args.into)), args.into)
    print(f'{args.into}: written')


def within_marks(text: str, made: str, where: str = 'page') -> str:
    """Return a text with what stands between its marks replaced.

    Raises:
        ValueError: If it does not have each mark once, in order.
    """
    if [text.count(BEGIN), text.count(END)] != [1, 1] or text.index(BEGIN) > text.index(END):
        raise ValueError(f"{where}: needs the lines '{BEGIN}' and '{END}', once each; add them")
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    return f'{before}{BEGIN}\n\n{made}\n{END}{after}'


if __name__ == '__main__':
    run_module('benchmarks.backbones', __doc__, add_arguments, run)
