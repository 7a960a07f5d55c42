# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The option ``--cfg-options``: settings as Python literals."""

import ast
import re
from argparse import ArgumentError, ArgumentParser, ArgumentTypeError, Namespace
from typing import Any

from mmengine.config import DictAction

_NESTED = re.compile(r'\s*[\[(]*\s*(?:\{|dict\()')


def add_cfg_options(parser: ArgumentParser) -> None:
    """Add ``--cfg-options``, which ``merge_options`` takes."""
    merged = 'settings over those of the config: optim_wrapper.optimizer.lr=0.1 key="[a,b]"'
    options: dict[str, Any] = dict(
        nargs='+', action=_Settings, type=_key_value, metavar='KEY=VALUE'
    )
    parser.add_argument('--cfg-options', help=merged, **options)


class _Settings(DictAction):
    """``DictAction`` that also reads dicts and lists of them, which it takes to pieces."""

    def __call__(
        self, parser: ArgumentParser, namespace: Namespace, values: Any, option_string: Any = None
    ) -> None:
        """Put the options into the namespace."""
        for text in values or ():
            key, value = text.split('=', maxsplit=1)
            if not _NESTED.match(value):
                super().__call__(parser, namespace, [text], option_string)
                continue
            try:
                found = read_literal(value)
            except (SyntaxError, ValueError) as error:
                what = f'the value of {key} is no Python literal: {value}'
                mend = f"""quote the whole, and its strings: '{key}=[dict(type="Name", x=1)]'"""
                raise ArgumentError(self, f'{what}; {mend}') from error
            options = getattr(namespace, self.dest, None) or {}
            setattr(namespace, self.dest, {**options, key: found})


def read_literal(text: str) -> Any:
    """Return the value of a Python literal in which ``dict(a=1)`` may stand for ``{'a': 1}``."""
    return ast.literal_eval(_DictCalls().visit(ast.parse(text.strip(), mode='eval')).body)


class _DictCalls(ast.NodeTransformer):
    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        names = [word.arg for word in node.keywords]
        if getattr(node.func, 'id', None) != 'dict' or node.args or None in names:
            raise ValueError('a call')
        keys: list[ast.expr | None] = [ast.Constant(name) for name in names]
        return ast.Dict(keys, [word.value for word in node.keywords])


def _key_value(text: str) -> str:
    if '=' not in text.strip('='):
        raise ArgumentTypeError(f'{text!r} is not of the form KEY=VALUE')
    return text
