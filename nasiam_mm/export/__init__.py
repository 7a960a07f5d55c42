# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Export of pretrained backbones to other libraries, each file proven before it appears.

Called, it is :func:`nasiam_mm.api.export`.
"""

from nasiam_mm.export.backbone import LAYOUTS, export_backbone
from nasiam_mm.export.checkpoint import PretrainedBackbone, read_pretrained
from nasiam_mm.imports import make_callable

__all__ = ['LAYOUTS', 'PretrainedBackbone', 'export_backbone', 'read_pretrained']

make_callable(__name__)
