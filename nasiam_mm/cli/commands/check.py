# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Check a training before it begins: options, data, batches, widths, disk, work directory.

nasiam check nasiam/simsiam_r18_search_cifar10.py

Takes the arguments of nasiam train with a config; every problem is a line, and nothing is written.
"""

import sys
from argparse import ArgumentParser, Namespace

from nasiam_mm.cli.asked import refuse_training
from nasiam_mm.cli.commands import train
from nasiam_mm.cli.config import add_config_arguments
from nasiam_mm.cli.own import add_own_arguments, given_own
from nasiam_mm.wording import counted


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command line, that of ``nasiam train`` with a config."""
    add_config_arguments(parser, is_needed=False)
    add_own_arguments(parser, is_listed=False)  # known, so that the refusal says what to give
    train.add_training_arguments(parser)


def run(args: Namespace) -> None:
    """Print every problem; exit status 2 if there is one."""
    if args.config is None or given_own(args):
        told = 'and nothing of images without one'
        raise ValueError(f'give a CONFIG, such as a recipe in the --out of nasiam search, {told}')
    refuse_training(args)
    cfg = train.configure(args)
    if cfg.get('default_scope') == 'mmdet':
        mend = 'nasiam detect --dry-run checks it'
        raise ValueError(f"config '{cfg.filename}' is of a detector: {mend}")

    import nasiam_mm.engine  # noqa: F401, registers what a config names
    from nasiam_mm.checks.before_training import find_problems

    problems = find_problems(cfg)
    for problem in problems:
        print(problem)
    print(f'{args.config}: {counted(len(problems) or "no", "problem")} found')
    if problems:
        sys.exit(2)
