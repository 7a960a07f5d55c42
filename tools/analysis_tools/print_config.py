# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Print a config with all that it inherits and what the arguments change.

python tools/analysis_tools/print_config.py configs/nasiam/simsiam_r18_search_cifar10.py
"""

import argparse
from collections.abc import Sequence

from nasiam_mm.cli.config import add_config_arguments, merge_options, read_config
from nasiam_mm.cli.ending import add_traceback_flag, run_tool


def main(argv: Sequence[str] | None = None) -> None:
    """Print the config."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_config_arguments(parser)
    add_traceback_flag(parser)
    args = parser.parse_args(argv)
    cfg = read_config(args)
    merge_options(cfg, args.cfg_options)
    print(cfg.pretty_text)


if __name__ == '__main__':
    run_tool(main)
