# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""HTML by small functions: all text of files goes through :func:`esc`."""

import html
from collections.abc import Iterable, Sequence
from typing import Any

_MOST = 1e100
_LONGEST = 600  # characters of a text of a file
_SHORT = 24  # characters of a cell that is not broken into lines


def esc(value: Any) -> str:
    """Return a value as text of HTML, in which nothing is markup; long ones are cut."""
    text = str(value)
    text = text if len(text) <= _LONGEST else f'{text[: _LONGEST - 3]}...'
    return html.escape(''.join(c if c.isprintable() or c == '\n' else '�' for c in text))


def dotted(name: Any) -> str:
    """Return the name of a setting, which may be broken into lines behind its dots."""
    return esc(name).replace('.', '.<wbr>')


def is_number(value: Any) -> bool:
    """Tell whether a value of JSON is a number that can be drawn: none is past 1e100."""
    return type(value) in (int, float) and -_MOST < value < _MOST


def number(value: Any, digits: int = 4) -> str:
    """Return a number by its digits that count; a dash for what is none."""
    if not is_number(value):
        return '-'
    if isinstance(value, int) or (value.is_integer() and abs(value) < 1e6):
        return f'{int(value):,}'
    return f'{value:.{digits}g}'


def paragraph(text: str, kind: str = '') -> str:
    """Return a paragraph of a text."""
    named = f' class="{kind}"' if kind else ''
    return f'<p{named}>{esc(text)}</p>'


def absent(text: str) -> str:
    """Say in place of a part why it is not there."""
    return paragraph(text, 'absent')


def code(*lines: str) -> str:
    """Return commands, a line each."""
    told = '\n'.join(esc(line) for line in lines)
    return f'<pre tabindex="0"><code>{told}</code></pre>'


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]], kind: str = '') -> str:
    """Return a table of cells of HTML; the first of a row names it. It scrolls where narrow."""
    heads = ''.join(f'<th scope="col">{esc(cell)}</th>' for cell in head)
    body = ''.join(
        f'<tr>{_cell("th", row[0], " scope=row")}{"".join(_cell("td", c) for c in row[1:])}</tr>'
        for row in rows
    )
    return (
        f'<div class="scroll {kind}" tabindex="0" role="region" aria-label="{esc(caption)}">'
        f'<table><caption>{esc(caption)}</caption><thead><tr>{heads}</tr></thead>'
        f'<tbody>{body}</tbody></table></div>'
    )


def _cell(tag: str, content: str, more: str = '') -> str:
    short = ' class=s' if len(content) <= _SHORT else ''
    return f'<{tag}{more}{short}>{content}</{tag}>'


def details(summary: str, body: str) -> str:
    """Return what opens on demand, and is open on paper."""
    return f'<details><summary>{esc(summary)}</summary>{body}</details>'


def section(name: str, title: str, body: str) -> str:
    """Return a section of the page, by whose name the contents lead to it."""
    return (
        f'<section id="{name}" aria-labelledby="{name}-title">'
        f'<h2 id="{name}-title">{esc(title)}</h2>{body}</section>'
    )


def tiles(figures: Iterable[tuple[str, str, str]]) -> str:
    """Return the figures that are read first: name, value, a note."""
    rows = ''.join(
        f'<div><dt>{esc(name)}</dt><dd>{esc(value)}'
        + (f'<small>{esc(note)}</small>' if note else '')
        + '</dd></div>'
        for name, value, note in figures
    )
    return f'<dl class="tiles">{rows}</dl>'
