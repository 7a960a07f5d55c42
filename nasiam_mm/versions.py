# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Check of the installed versions, before a mismatch shows as something else."""

import importlib
import re
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

# Lowest supported and first unsupported release; requirements/runtime.txt says the same.
SUPPORTED = {
    'torch': ('2.8', '2.14'),
    'torchvision': ('0.23', '0.29'),
    'onedl-mmengine': ('0.10.12', '0.11'),
    'onedl-mmcv': ('2.3.6', '2.4'),
    'onedl-mmpretrain': ('1.3.6', '1.4'),
}


def check_versions() -> None:
    """Raise ImportError for the first distribution that is missing or outside its range."""
    for name, (lowest, limit) in SUPPORTED.items():
        found = _installed(name)
        if found and _release(lowest) <= _release(found) < _release(limit):
            continue
        original = name.removeprefix('onedl-')  # OpenMMLab's own, of the same import name
        if not found and (instead := _installed(original)):
            found = f'{original} {instead}'
        raise ImportError(
            f'nasiam_mm needs {name}>={lowest},<{limit}, but {found or "it"} is '
            f'{"" if found else "not "}installed; pip install -e . -c requirements/constraints.txt'
        )


def require(module: str, extra: str) -> ModuleType:
    """Import a module that an extra brings, or raise ModuleNotFoundError with the mend."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{error.name} is not installed and is needed here; pip install 'nasiam_mm[{extra}]'"
        ) from error


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _release(text: str) -> tuple[int, ...]:
    """Return the release numbers of a version: ``'2.12.1+cpu'`` gives ``(2, 12, 1)``."""
    return tuple(int(number) for number in re.split(r'[^\d.]', text)[0].strip('.').split('.'))
