# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What the pages show: their blocks of code, and the commands in them."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from tests.reduced import ROOT

PAGES = sorted(
    [
        *(ROOT / name for name in ('README.md', 'CONTRIBUTING.md', 'genotypes/README.md')),
        *(ROOT / 'docs').rglob('*.md'),
    ]
)
_BLOCK = re.compile(r'^```(\w*)([^\n]*)\n(.*?)^```', re.DOTALL | re.MULTILINE)


def name_of(page: Path) -> str:
    """Return the path of a page in the repository."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> Iterator[tuple[str, str, str]]:
    """Yield language, the rest of the first line, and code of each block."""
    for found in _BLOCK.finditer(page.read_text(encoding='utf-8')):
        yield found[1], found[2].strip(), found[3]


def commands(code: str) -> Iterator[list[str]]:
    """Yield the words of each command of a shell's block, without variables set before it."""
    for line in code.replace('\\\n', ' ').splitlines():
        words = shlex.split(line, comments=True)
        while words:
            end = words.index('&&') if '&&' in words else len(words)
            command, words = words[:end], words[end + 1 :]
            while command and re.match(r'[A-Z_]+=', command[0]):
                command = command[1:]
            if command:
                yield command
