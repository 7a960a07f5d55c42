# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Commands printed for a user to run again, with the options as they were given."""

import shlex
from argparse import Namespace
from collections.abc import Sequence
from typing import Any

# Of one's own images, with what decides the recipes.
OWN = ('data', 'out', 'framework', 'backbone', 'val', 'test', 'labels', 'size', 'skip_unreadable')


def command_of(args: Namespace) -> str:
    """Return the ``nasiam search`` command of a command line, quoted for a shell, no password."""
    words = getattr(args, 'words', None)  # none of a call from Python
    if words is None:
        words = own_words(args)
        words += ['--study', args.study] if args.study else []
    return shlex.join(['nasiam', 'search', *_without_password(words)])


def study_of_own(args: Namespace) -> str:
    """Return the command of a study of what a search on one's own images has found."""
    return shlex.join(['nasiam', 'search', *own_words(args), '--study', 'checked'])


def own_words(args: Namespace) -> list[str]:
    """Return what was given of one's own images, of seed, epochs and settings, as words."""
    given = {name: getattr(args, name, None) for name in (*OWN, 'seed', 'epochs')}
    given['data'] = getattr(args, 'given_data', None) or given['data']
    words: list[str] = []
    for name, value in given.items():
        if value is not None and value is not False:
            words += [f'--{name.replace("_", "-")}', *([] if value is True else [str(value)])]
    return words + _settings(args)


def _settings(args: Namespace) -> list[str]:
    words: Sequence[str] = getattr(args, 'words', None) or ()
    if '--cfg-options' not in words:
        options: dict[str, Any] = args.cfg_options or {}
        told = [f'{name}={value}' for name, value in options.items()]
    else:
        after = words[words.index('--cfg-options') + 1 :]
        ends = [n for n, word in enumerate(after) if word.startswith('--')]
        told = [*after[: ends[0] if ends else len(after)]]
    return ['--cfg-options', *told] if told else []


def _without_password(words: Sequence[str]) -> list[str]:
    """Return words in which the address of a database has no password and no settings."""
    told = list(words)
    for n, word in enumerate(told):
        if '://' in word and ('@' in word or '?' in word):
            scheme, sign, rest = word.partition('://')
            user, at, host = rest.partition('?')[0].rpartition('@')
            told[n] = f'{scheme}{sign}{user.split(":")[0]}{at}{host}'
    return told
