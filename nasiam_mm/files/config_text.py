# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The text of a config that a file brings along, read as data (contract C11)."""

import ast
from typing import Any

_MOST = 1_000_000  # characters; a config has some ten thousand
_BUILDERS = {'dict': dict, 'list': list, 'tuple': tuple, 'set': set}


def read_config_text(text: str) -> dict[str, Any]:
    """Read what mmengine wrote as ``meta.cfg`` of a checkpoint, evaluating nothing.

    It assigns literals, and ``_BUILDERS`` called with them, to names; else it is a ValueError.
    """
    if len(text) > _MOST:
        raise ValueError(f'a config text of {len(text):,} characters is not read')
    settings, line = {}, 1
    try:
        for statement in ast.parse(text).body:
            line = statement.lineno
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    settings[name] = ast.literal_eval(_Builder().visit(value))
                case _:
                    raise ValueError('no assignment to one name')
    except SyntaxError as error:
        raise ValueError(f'the config text is no Python in line {error.lineno}') from error
    except (RecursionError, MemoryError) as error:
        raise ValueError('the config text is nested too deeply') from error
    except (TypeError, ValueError, KeyError) as error:
        raise ValueError(f'the config text is no plain data from line {line} on') from error
    return settings


def config_within(checkpoint: Any) -> dict[str, Any]:
    """Read the config that a checkpoint brings along, as data.

    Args:
        checkpoint: What :func:`nasiam_mm.files.checkpoint.read_checkpoint` returns.

    Raises:
        ValueError: If there is none, or it is no plain data.
    """
    meta = checkpoint.get('meta') if isinstance(checkpoint, dict) else None
    text = meta.get('cfg') if isinstance(meta, dict) else None
    if not isinstance(text, str):
        raise ValueError('carries no config')
    return read_config_text(text)


class _Builder(ast.NodeTransformer):
    """Puts what a call of a container's name builds from literals in the place of the call."""

    def visit_Call(self, node: ast.Call) -> ast.Constant:
        self.generic_visit(node)
        build = _BUILDERS[getattr(node.func, 'id', '')]
        keywords: dict[Any, Any] = {k.arg: ast.literal_eval(k.value) for k in node.keywords}
        return ast.Constant(build(*map(ast.literal_eval, node.args), **keywords))
