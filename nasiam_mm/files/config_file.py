# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Config files: Python is run, YAML and JSON are data."""

import os
from typing import Any

import yaml  # type: ignore[import-untyped]
from mmengine.config import Config
from mmengine.fileio.handlers import yaml_handler


def read_config(path: str | os.PathLike) -> Config:
    """Read a config. One in Python is a program: reading it runs it. YAML's tags build nothing.

    FileNotFoundError if there is no such file; ValueError, in one line, if it is not valid, or
    its ``_base_`` goes in a circle.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"config '{path}' does not exist, or is no file")
    yaml_handler.Loader = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)
    where = f"config '{path}' or one of its _base_"
    try:
        _refuse_circle(os.path.abspath(path))
        return Config.fromfile(str(path))
    except RecursionError:
        raise ValueError(f'{where}: nests too deep') from None
    except SyntaxError as error:
        found: Any = error if error.lineno else error.__context__  # mmengine's has no line
        raise ValueError(f'{where}, line {found.lineno}: {found.msg}') from error
    except OSError:
        raise
    except (Exception, SystemExit) as error:  # a config is a program
        if isinstance(error, ValueError) and not isinstance(error, UnicodeError):
            raise
        text = ' '.join(str(error).split())
        raise ValueError(f'{where}: {type(error).__name__}: {text:.200}') from error


def config_as_text(cfg: Config) -> str:
    """Write a config as Python that is read back as it is.

    mmengine replaces ``{{ fileDirname }}``, ``{{ $HOME: }}`` and the like in the text of a file,
    also where they are a part of a path.
    """
    return braces_kept(cfg.pretty_text)


def braces_kept(text: str) -> str:
    """Write the double braces within strings of a config's text so that they stay what they are."""
    return text.replace('{{', '{\\x7b')  # stand nowhere else in what pretty_text writes


def _refuse_circle(path: str, above: tuple[str, ...] = ()) -> None:
    """Refuse a ``_base_`` that leads back; mmengine would go round until the stack is full."""
    if path in above:
        raise ValueError(f"config '{path}': its _base_ leads back to itself")
    for base in Config._get_base_files(path):
        found, _ = Config._get_cfg_path(base, path)
        _refuse_circle(os.path.abspath(found), (*above, path))
