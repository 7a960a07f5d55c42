# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The page around its parts: title, contents, style; nothing in it asks for anything."""

from collections.abc import Sequence

from nasiam_mm.report.page.markup import esc, section
from nasiam_mm.report.page.style import STYLE
from nasiam_mm.version import __version__

# Should a text ever become markup, a browser still neither runs nor fetches anything for it.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'"


def frame(title: str, subtitle: str, parts: Sequence[tuple[str, str, str]]) -> str:
    """Return the page of (name, title, HTML) parts."""
    contents = ''.join(f'<li><a href="#{name}">{esc(told)}</a></li>' for name, told, _ in parts)
    body = ''.join(section(*part) for part in parts)
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer"><link rel="icon" href="data:,">
<title>{esc(title)}</title><style>{STYLE}</style></head>
<body><header><a class="skip" href="#main">to the content</a>
<h1>{esc(title)}</h1><p class="faint">{esc(subtitle)}</p>
<nav aria-label="Contents"><ul>{contents}</ul></nav></header>
<main id="main" tabindex="-1">{body}</main>
<footer>nasiam_mm {esc(__version__)}. This file asks for nothing from anywhere.</footer>
</body></html>
"""
