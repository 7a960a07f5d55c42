# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The text of a config that a file brings along, read as data (contract C11)."""

import ast
from typing import Any

_MOST = 1_000_000  # characters; a config has some ten thousand
_BUILDERS = {'dict': dict, 'list': list, 'tuple': tuple, 'set': set}


def read_config_text(text: str) -> dict[str, Any]:
    """Read what mmengine wrote as ``meta.cfg`` of a checkpoint, evaluating nothing.

    Args:
        text: Assignments of literals, and of ``dict()``, ``list()``, ``tuple()`` and ``set()`` of
            them, to names.

    Raises:
        ValueError: One line, if the text holds anything else.
    """
    if len(text) > _MOST:
        raise ValueError(f'a config text of {len(text):,} characters is not read')
    try:
        module = ast.parse(text)
        settings = {}
        for statement in module.body:
            if not isinstance(statement, ast.Assign):
                raise _not_data(statement)
            target = statement.targets[0]
            if not isinstance(target, ast.Name) or len(statement.targets) > 1:
                raise _not_data(statement)
            settings[target.id] = _value(statement.value)
    except SyntaxError as error:
        raise ValueError(f'the config text is no Python in line {error.lineno}') from error
    except (RecursionError, MemoryError) as error:
        raise ValueError('the config text is nested too deeply') from error
    return settings


def _value(node: ast.expr) -> Any:
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        items = [_value(item) for item in node.elts]
        return {ast.List: list, ast.Tuple: tuple, ast.Set: set}[type(node)](items)
    if isinstance(node, ast.Dict) and None not in node.keys:
        keys = [_value(key) for key in node.keys if key is not None]
        return dict(zip(keys, (_value(value) for value in node.values), strict=True))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return _built(node.func.id, node)
    try:
        return ast.literal_eval(node)  # of numbers and text alone; containers are above
    except ValueError:
        raise _not_data(node) from None


def _built(name: str, node: ast.Call) -> Any:
    build = _BUILDERS.get(name)
    names = [keyword.arg for keyword in node.keywords]
    if build is None or None in names or (names and build is not dict) or len(node.args) > 1:
        raise _not_data(node)
    keywords = {str(keyword.arg): _value(keyword.value) for keyword in node.keywords}
    try:
        return build(*(_value(arg) for arg in node.args), **keywords)
    except TypeError:
        raise _not_data(node) from None


def _not_data(node: ast.stmt | ast.expr) -> ValueError:
    line = f' in line {node.lineno}'
    return ValueError(f'the config text holds {type(node).__name__}{line}, which is no plain data')
