# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Words that lines for a user share: counts with their nouns, names that there are not."""

from collections.abc import Collection
from difflib import get_close_matches


def counted(count: int | str, noun: str) -> str:
    """Write ``'1 epoch'`` or ``'2 epochs'``; a text is a number that was rounded to be shown."""
    ending = 'es' if noun.endswith(('s', 'ch')) and noun != 'epoch' else 's'
    return f'{count} {noun}' if str(count) == '1' else f'{count} {noun}{ending}'


def no_such(kind: str, name: object, known: Collection[str]) -> str:
    """Say that there is none of a name, which there are, and which of them may be meant."""
    near = get_close_matches(str(name).lower(), known, n=1)
    meant = f'; did you mean {near[0]}?' if near else ''
    return f'there is no {kind} {name!r:.60}, but {", ".join(known)}{meant}'
