# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Words that lines for a user share: counts with their nouns, names that there are not, options."""

import re
from collections.abc import Collection
from difflib import get_close_matches

# What an option of a command is in a call of a function; others are of the command alone.
_ARGUMENTS = {
    **{name: f'{name}=' for name in (
        'data', 'out', 'framework', 'backbone', 'val', 'test', 'labels', 'size', 'seed',
        'epochs', 'genotype', 'strategy', 'layout',
    )},
    'batch-size': 'batch_size=', 'skip-unreadable': 'skip_unreadable=True',
    'cfg-options': 'options=', 'work-dir': 'out=', 'study': 'out=',
    'trials': "options={'study.trials': ...}", 'resume': 'the same call',
}  # fmt: skip
_EXTEND = '--resume --extend'
# A command for a shell stays one; an option stands alone, or with a value.
_OPTION = re.compile(
    r"(?P<command>'nasiam [^']*'|\bnasiam [a-z]+ [^;,:]*)|(?P<extend>" + _EXTEND + ')|'
    r'(?<![\w-])--(?P<name>[a-z][a-z-]*[a-z])'
    r'(?: (?P<value>none|mmengine|torchvision|timm|[A-Z]{2,}\b|[^\s,;]+(?=, not )))?'
)


def counted(count: int | str, noun: str) -> str:
    """Write ``'1 epoch'`` or ``'2 epochs'``; a text is a number that was rounded to be shown."""
    ending = 'es' if noun.endswith(('s', 'ch')) and noun != 'epoch' else 's'
    return f'{count} {noun}' if str(count) == '1' else f'{count} {noun}{ending}'


def no_such(kind: str, name: object, known: Collection[str]) -> str:
    """Say that there is none of a name, which there are, and which of them may be meant."""
    near = get_close_matches(str(name).lower(), known, n=1)
    meant = f'; did you mean {near[0]}?' if near else ''
    return f'there is no {kind} {name!r:.60}, but {", ".join(known)}{meant}'


def no_genotype(path: object) -> str:
    """Say that there is no such file of a genotype."""
    return f"genotype '{path}' does not exist; run a search first, or pass --genotype FILE"


def in_python(text: str) -> str:
    """Write options of the commands as arguments of the package's functions.

    ``'take another --out'`` becomes ``'take another out='``, a text that begins with ``'--size'``
    one with ``'size'``. What only a command takes, and whole commands, stay as they are.
    """

    def written(found: re.Match) -> str:
        if found['extend']:
            return f'nasiam with {_EXTEND}'
        argument = _ARGUMENTS.get(found['name'] or '')
        if argument is None:
            return found[0]
        value = found['value']
        if not argument.endswith('='):
            return argument if value is None else f'{argument} {value}'
        if value is None:
            return argument if found.start() else argument[:-1]
        is_plain = value.isupper() or value.isdigit()
        return f'{argument}{value}' if is_plain else f'{argument}{value!r}'

    return _OPTION.sub(written, text)
