# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Extension of griffe: roles and named links of docstrings, reStructuredText, become Markdown.

``:class:`Source``` becomes `` `Source` ``; ``DARTS_`` with its line ``.. _DARTS: URL`` a link.
"""

import re
from typing import Any

from griffe import Extension, Object

_ROLE = re.compile(r':(?:attr|class|data|func|meth|mod):`~?([^`]+)`')
_TARGET = re.compile(r'^[ \t]*\.\. _([^:\n]+): (\S+)\n?', re.MULTILINE)


def as_markdown(text: str) -> str:
    """Return a docstring in Markdown."""
    text = _ROLE.sub(r'`\1`', text)
    for name, url in _TARGET.findall(text):
        text = re.sub(rf'`{re.escape(name)}`_|\b{re.escape(name)}_(?!\w)', f'[{name}]({url})', text)
    return _TARGET.sub('', text).rstrip()


class Docstrings(Extension):
    """Rewrites each docstring once it is read."""

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        """Rewrite that of a module, class, function or attribute."""
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)
