# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What acts during a run; every file here is imported, so that its hooks are registered."""

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):
    import_module(f'{__name__}.{_module.name}')
