# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Search a head: step alpha on a held-out part of the images, the weights on the rest.

nasiam search nasiam/simsiam_r18_search_cifar10.py

The work directory then holds genotype.json with its drawing, alpha.json with its plot, a genotype
of each epoch, checkpoints and logs.
"""

from argparse import ArgumentParser, Namespace

from nasiam_mm.cli.commands import train
from nasiam_mm.config_walk import walk


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command line, that of ``nasiam train``."""
    train.add_arguments(parser)


def run(args: Namespace) -> None:
    """Search.

    Raises:
        ValueError: If the config searches nothing.
    """
    cfg = train.configure(args)
    if not any(part.get('space') for part in walk(cfg.get('model'))):
        raise ValueError(
            f"config '{cfg.filename}' has nothing to search; take one of "
            'configs/nasiam/*_search_*.py, or nasiam train'
        )
    train.train_checked(cfg)
