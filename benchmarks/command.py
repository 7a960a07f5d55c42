# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A benchmark as a command: ``python -m benchmarks.NAME``, or ``nasiam NAME`` where installed."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable

from nasiam_mm.cli.main import as_main, run_process

# As sysexits.h has it: not done, the same command goes on.
EX_TEMPFAIL = 75


def run_module(
    name: str,
    doc: str,
    add_arguments: Callable[[ArgumentParser], None],
    run: Callable[[Namespace], None],
) -> None:
    """Read the command line, run, and end as every tool does."""
    run_process(as_main(doc, add_arguments, run, f'python -m {name}'))
