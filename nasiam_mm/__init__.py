# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Search, train and measure the heads of Siamese self-supervised networks.

image -> views -> backbone -> projector -> predictor -> loss -> alpha step -> genotype -> pretrain
-> evaluate -> detection.

``import nasiam_mm as nm`` offers the commands as functions, imported when they are asked for:
``nm.search(data='photos', framework='simclr')``, see docs/python.md.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nasiam_mm.files.guard import guard_reading
from nasiam_mm.version import __version__ as __version__
from nasiam_mm.versions import check_versions

check_versions()
guard_reading()

if TYPE_CHECKING:
    from nasiam_mm.api import (
        embed,
        export,
        list_frameworks,
        list_operations,
        list_strategies,
        load,
        pretrain,
        search,
    )

__all__ = [
    'embed', 'export', 'list_frameworks', 'list_operations', 'list_strategies', 'load', 'pretrain',
    'search',
]  # fmt: skip

_ROOMS = ('export', 'search')


def __getattr__(name: str) -> Any:
    """Import a function of the package with what it needs; AttributeError for what there is not."""
    if name not in __all__:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    quietly = import_module('nasiam_mm.api.quiet').quietly
    with quietly(True):  # mmcv and mmpretrain print while they are imported
        api = import_module('nasiam_mm.api')
        # Rooms of these names are callable: they are there, whatever was imported before.
        return import_module(f'nasiam_mm.{name}') if name in _ROOMS else getattr(api, name)


def __dir__() -> list[str]:
    """Name what is there with what would be imported."""
    return sorted({*(name for name in globals() if name.startswith('__')), *__all__})
