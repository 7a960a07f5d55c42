# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Plot the mixing weights of every layer over the epochs of a search.

python tools/analysis_tools/plot_alpha.py work_dirs/simsiam_r18_search_cifar10/alpha.json
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from nasiam_mm.cli.ending import add_traceback_flag, run_tool
from nasiam_mm.report.pictures.alpha_curves import load_alpha_history, plot_alpha


def main(argv: Sequence[str] | None = None) -> None:
    """Plot the history."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('history', type=Path, help='alpha.json of a search')
    parser.add_argument(
        '--out', type=Path, help='picture, .png or .svg; beside the history by default'
    )
    add_traceback_flag(parser)
    args = parser.parse_args(argv)
    out = args.out or args.history.with_suffix('.png')
    plot_alpha(*load_alpha_history(args.history), out)
    print(f'plotted {out}')


if __name__ == '__main__':
    run_tool(main)
