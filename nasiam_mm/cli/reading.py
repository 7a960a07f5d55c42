# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Finding a config, shipped ones included, and reading it so that it can be written back."""

import ast
from difflib import get_close_matches
from pathlib import Path, PurePath
from typing import Any

from mmengine.config import Config
from mmengine.config.lazy import LazyAttr, LazyObject
from mmengine.config.utils import MODULE2PACKAGE

from nasiam_mm.files.config_file import read_config

# As nasiam_mm.registry does, which takes seconds to import.
MODULE2PACKAGE.setdefault('nasiam_mm', 'nasiam_mm')
_PACKAGE = Path(__file__).resolve().parents[1]
# Of an installation, as OpenMMLab's packages have it; of a checkout.
_SHIPPED = (_PACKAGE / '.mim/configs', _PACKAGE.parent / 'configs')


def find_config(name: str | Path) -> str:
    """Return the path of a config: a file, or a shipped one by its path below ``configs/``.

    FileNotFoundError if there is neither.
    """
    if Path(name).is_file():
        return str(name)
    wanted = str(name).removeprefix('nasiam_mm::').removeprefix('configs/')
    folder = next((folder for folder in _SHIPPED if folder.is_dir()), None)
    if folder is not None and (folder / wanted).is_file():
        return str(folder / wanted)
    shipped = [] if folder is None else [f.relative_to(folder) for f in folder.rglob('*.py')]
    near = get_close_matches(wanted, map(str, shipped), n=1)
    mend = f'did you mean {near[0]}?' if near else 'see configs/'
    raise FileNotFoundError(f"config '{name}' does not exist; {mend}")


def load_config(path: str) -> Config:
    """Read a config; paths in it become text.

    Configs are programs: reading one runs it.

    Raises:
        ValueError: One line, if it is not valid Python, its ``_base_`` goes in a circle, or it
            holds what a config file cannot say.
    """
    cfg = read_config(path)
    top = cfg._cfg_dict
    for name in [name for name, value in dict.items(top) if isinstance(value, type)]:
        del top[name]  # of an import
    _make_writable(top, '', path)
    return cfg


def _make_writable(node: Any, name: str, path: str) -> Any:
    """Turn paths into text in place; refuse what the run could not write into its copy."""
    if isinstance(node, dict):
        # Not by the methods of ConfigDict, which import what a name stands for.
        for key, value in dict.items(node):
            dict.__setitem__(node, key, _make_writable(value, f'{name}.{key}'.lstrip('.'), path))
        return node
    if isinstance(node, (list, tuple)):
        values = [_make_writable(value, f'{name}.{n}', path) for n, value in enumerate(node)]
        return values if isinstance(node, list) else tuple(values)
    if isinstance(node, PurePath):
        return str(node)
    if node is None or isinstance(node, (bool, int, float, str, LazyObject, LazyAttr)):
        return node
    try:
        ast.literal_eval(repr(node))
    except (ValueError, SyntaxError):
        raise ValueError(
            f"config '{path}': {name} is a {type(node).__name__}, which cannot be written into the "
            "run's copy of the config; give it as text, a number, a list or a dict"
        ) from None
    return node
