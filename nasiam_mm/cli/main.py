# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The command ``nasiam``: finds a command by its name, imports that one alone and runs it.

A command is a module with a docstring, ``add_arguments(parser)`` and ``run(args)``: one of
``nasiam_mm.cli.commands``, or an entry point of the group ``nasiam_mm.commands``.
"""

import argparse
import ast
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from nasiam_mm.cli.process import run_process
from nasiam_mm.console.screen import short_console
from nasiam_mm.imports import uncollected
from nasiam_mm.refusals import plain
from nasiam_mm.runs.processes import process_count
from nasiam_mm.version import __version__

GROUP = 'nasiam_mm.commands'
_FOLDER = Path(__file__).parent / 'commands'
COMMANDS = sorted(path.stem for path in _FOLDER.glob('[!_]*.py'))
ALIASES = {'pretrain': 'train'}
_EMPTY = re.compile(r'--[a-z-]+=')
_OF_ALL = ('--traceback', '--verbose')  # what every command takes


def main() -> None:
    """Run ``nasiam`` and leave the process with its exit status."""
    run_process(dispatch)


def dispatch(argv: Sequence[str] | None = None) -> None:
    """Run the command that the first word names; without one, list them."""
    argv = sys.argv[1:] if argv is None else list(argv)
    if argv and not argv[0].startswith('-'):
        run_command(argv[0], argv[1:])
        return
    parser = Parser(
        prog='nasiam',
        description='Search, train and measure the heads of Siamese self-supervised networks.',
        epilog='nasiam COMMAND --help tells what a command takes; configs are named as files or as '
        'they are shipped: nasiam/simsiam_r18_search_cifar10.py',
    )
    parser.add_argument('--version', action='version', version=f'nasiam_mm {__version__}')
    commands = parser.add_subparsers(title='commands', metavar='COMMAND')
    for name in COMMANDS:
        # Read, not imported: some import what takes seconds.
        doc = ast.get_docstring(ast.parse((_FOLDER / f'{name}.py').read_text(encoding='utf-8')))
        commands.add_parser(name, help=str(doc).splitlines()[0])
    for alias, name in ALIASES.items():
        commands.add_parser(alias, help=f"nasiam {name}, as it is called for one's own images")
    for name, entry in sorted(_foreign().items()):
        commands.add_parser(name, help=f'of {entry.dist.name if entry.dist else entry.value}')
    parser.parse_args(argv or ['--help'])


def run_command(words: str, argv: Sequence[str] | None = None) -> None:
    """Run the command ``words``, such as ``'data cifar10'``; ``argv`` is the process's for None.

    Raises:
        ValueError: If there is no such command.
    """
    name, *first = words.split()
    module = load_command(name)
    command = as_main(module.__doc__, module.add_arguments, module.run, f'nasiam {name}')
    command([*first, *(sys.argv[1:] if argv is None else argv)])


def tool(words: str) -> Callable[..., None]:
    """Return the main function of a script that is one command: ``tool('data cifar10')``."""
    return partial(run_command, words)


class Parser(argparse.ArgumentParser):
    """Says what is wrong with a command line in one line, as every refusal."""

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """Parse; options may stand between positional arguments of which some may be left out."""
        if '' in words or any(_EMPTY.fullmatch(word) for word in words):
            self.error('an argument is empty, as of a variable that is not set')
        has_actions = self._subparsers is not None
        return self.parse_args(words) if has_actions else self.parse_intermixed_args(words)

    def error(self, message: str) -> NoReturn:
        """Say so and leave; the usage would fill a screen."""
        told = plain(f'{message}; {self.prog} --help tells what it takes')
        self.exit(2, f'error: {told}\n')


def as_main(
    doc: str | None,
    add_arguments: Callable[[argparse.ArgumentParser], None],
    run: Callable[[argparse.Namespace], None],
    prog: str | None = None,
) -> Callable[..., None]:
    """Return the main function of a script made as a command is; it takes ``argv``, or None."""

    def main(argv: Sequence[str] | None = None) -> None:
        parser = Parser(
            prog=prog,
            description=doc,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            epilog='--traceback, or NASIAM_TRACEBACK=1, shows the traceback of an error too; '
            '--verbose, or NASIAM_VERBOSE=1, all that a run logs',
        )
        add_arguments(parser)
        words = list(sys.argv[1:] if argv is None else argv)
        args = parser.parse([word for word in words if word not in _OF_ALL])
        args.words = words
        again = _again(prog, words) if hasattr(args, 'resume') else None
        with short_console(again, verbose='--verbose' in words):
            run(args)

    return main


def _again(prog: str | None, words: list[str]) -> str | None:
    """Return the command that goes on with this one; None where a launcher has to start it."""
    if prog is None or process_count() > 1:
        return None
    kept: list[str] = []
    for n, word in enumerate(words):
        # Not from the checkpoint that this one went on from: from the latest.
        is_value = n > 0 and words[n - 1] == '--resume' and not word.startswith('-')
        if not is_value and word.partition('=')[0] != '--resume':
            kept.append(word)
    return f'{prog} {shlex.join(kept)} --resume'


def load_command(name: str) -> ModuleType:
    """Import the module of a command.

    Raises:
        ValueError: If there is no such command.
    """
    name = ALIASES.get(name, name)
    foreign = {} if name in COMMANDS else _foreign()
    with uncollected():
        if name in COMMANDS:
            return import_module(f'nasiam_mm.cli.commands.{name}')
        if name in foreign:
            return foreign[name].load()
    near = get_close_matches(name, [*COMMANDS, *ALIASES, *foreign], n=1)
    meant = f' did you mean {near[0]}?' if near else ''
    raise ValueError(f"nasiam has no command '{name}';{meant} nasiam --help lists them")


def _foreign() -> dict[str, EntryPoint]:
    """Return the commands that other distributions bring."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}
