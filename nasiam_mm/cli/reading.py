# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Finding a config, shipped ones included, and reading it so that it can be written back."""

import ast
from keyword import iskeyword
from pathlib import PurePath
from typing import Any

from mmengine.config import Config
from mmengine.config.lazy import LazyAttr, LazyObject
from mmengine.config.utils import MODULE2PACKAGE

from nasiam_mm.files.config_file import read_config
from nasiam_mm.files.shipped import find_config as find_config

# As nasiam_mm.registry does, which takes seconds to import.
MODULE2PACKAGE.setdefault('nasiam_mm', 'nasiam_mm')
_DEEPEST = 50  # of a setting; what formats the copy of a config recurses


def load_config(path: str) -> Config:
    """Read a config; paths in it become text.

    Configs are programs: reading one runs it.

    Raises:
        ValueError: One line, if it is not valid Python, its ``_base_`` goes in a circle, or it
            holds what a config file cannot say.
    """
    cfg = read_config(path)
    make_writable(cfg, f"config '{path}'")
    return cfg


def make_writable(cfg: Config, where: str) -> None:
    """Turn paths in a config into text; refuse what the run could not write into its copy.

    Raises:
        ValueError: One line that begins with ``where``, if there is such a name or value.
    """
    top = cfg._cfg_dict
    for name in [name for name, value in dict.items(top) if isinstance(value, type)]:
        del top[name]  # of an import
    for name in top:
        if not (isinstance(name, str) and name.isidentifier()) or iskeyword(name):
            raise ValueError(f'{where}: {name!r} is no name that a setting can have')
    _make_writable(top, '', where)


def _make_writable(node: Any, name: str, where: str) -> Any:
    if name.count('.') > _DEEPEST:
        raise ValueError(f'{where}: {name:.60}... is nested too deeply to be written again')
    if isinstance(node, dict):
        # Not by the methods of ConfigDict, which import what a name stands for.
        for key, value in dict.items(node):
            dict.__setitem__(node, key, _make_writable(value, f'{name}.{key}'.lstrip('.'), where))
        return node
    if isinstance(node, (list, tuple)):
        values = [_make_writable(value, f'{name}.{n}', where) for n, value in enumerate(node)]
        return values if isinstance(node, list) else tuple(values)
    if isinstance(node, PurePath):
        return str(node)
    if node is None or isinstance(node, (bool, int, float, str, LazyObject, LazyAttr)):
        return node
    try:
        ast.literal_eval(repr(node))
    except (ValueError, SyntaxError):
        raise ValueError(
            f'{where}: {name} is a {type(node).__name__}, which cannot be written into the '
            "run's copy of the config; give it as text, a number, a list or a dict"
        ) from None
    return node
