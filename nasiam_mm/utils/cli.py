# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""How a command-line tool ends: one clear line for a wrong input, a traceback for a defect."""

import os
import sys
import traceback
from argparse import ArgumentParser
from collections.abc import Callable

# A refusal is raised by a statement of ours, or where mmengine reads a config and builds from it.
_OURS = ('nasiam_mm', '__main__')
_READS_CONFIG = ('mmengine.config', 'mmengine.registry', 'mmengine.fileio', 'mmengine.runner')
_REFUSALS = (ValueError, KeyError, RuntimeError, ImportError)
# What building from a config raises besides, such as for a misspelt argument.
_BUILD_ERRORS = (TypeError, AttributeError, AssertionError, SyntaxError)


def add_traceback_flag(parser: ArgumentParser) -> None:
    """Let a tool be asked for the traceback of an error that it would tell in one line."""
    parser.add_argument(
        '--traceback',
        action='store_true',
        help='show the traceback of an error too (or set NASIAM_TRACEBACK=1)',
    )


def run_tool(main: Callable[[], None]) -> None:
    """Run a tool and leave the process with its exit status.

    A wrong input (a missing file, a bad value in a config, a full disk) ends
    as ``error: <what, where, the mend>`` and status 2. What is not known to be
    the user's is a defect and keeps its traceback and status 1.

    Args:
        main: The tool; it parses the command line itself.
    """
    try:
        main()
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if not is_user_error(error):
            raise
        if '--traceback' in sys.argv or os.environ.get('NASIAM_TRACEBACK', '0') != '0':
            traceback.print_exc()
        print(f'error: {one_line(error)}', file=sys.stderr)
        sys.exit(2)


def is_user_error(error: Exception) -> bool:
    """Tell a refused input from a defect by what was raised and by whom."""
    if isinstance(error, OSError):
        return True
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    raised_in = frames[-1].f_globals.get('__name__', '') if frames else ''
    if isinstance(error, _BUILD_ERRORS):
        return _within(raised_in, ('mmengine.config', 'mmengine.registry'))
    # A sentence is a refusal; a bare key or name is a look-up that a defect let fail.
    is_sentence = ' ' in str(error)
    return (
        isinstance(error, _REFUSALS) and is_sentence and _within(raised_in, _OURS + _READS_CONFIG)
    )


def one_line(error: Exception) -> str:
    """Return the message of an error as one line."""
    # str() of a KeyError is the repr of its key.
    text = error.args[0] if isinstance(error, KeyError) and error.args else error
    return ' '.join(str(text).split()) or type(error).__name__


def _within(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f'{package}.') for package in packages)
