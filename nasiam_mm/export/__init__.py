# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Export of pretrained backbones to other libraries, each file proven before it appears.

Called, it is :func:`nasiam_mm.api.export`. What takes torch is imported when it is asked for: what
is wrong with a command is said without.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nasiam_mm.export.asked import LAYOUTS as LAYOUTS
from nasiam_mm.imports import make_callable

if TYPE_CHECKING:
    from nasiam_mm.export.backbone import export_backbone
    from nasiam_mm.export.checkpoint import PretrainedBackbone, read_pretrained

__all__ = ['LAYOUTS', 'PretrainedBackbone', 'export_backbone', 'read_pretrained']

_FILES = {
    'backbone': ('export_backbone',),
    'checkpoint': ('PretrainedBackbone', 'read_pretrained'),
}


def __getattr__(name: str) -> Any:
    """Import what is asked for; AttributeError for what there is not."""
    for file, names in _FILES.items():
        if name in names:
            return getattr(import_module(f'{__name__}.{file}'), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


make_callable(__name__)
