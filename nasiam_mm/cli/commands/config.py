# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Print a config with all that it inherits, what the arguments change and what the data say.

nasiam config nasiam/simsiam_r18_search_cifar10.py
"""

import sys
from argparse import ArgumentParser, Namespace
from contextlib import redirect_stdout

from nasiam_mm.cli.config import add_config_arguments, merge_options, read_config
from nasiam_mm.files.config_file import config_as_text


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command line."""
    add_config_arguments(parser)


def run(args: Namespace) -> None:
    """Print the config."""
    cfg = read_config(args)
    merge_options(cfg, args)
    with redirect_stdout(sys.stderr):  # an import of OpenMMLab's prints, which is no config
        from nasiam_mm.datasets import resolve_data

    try:
        resolve_data(cfg)
    except FileNotFoundError as error:
        print(f'# as written, without what the data say: {error}')
    print(config_as_text(cfg))
