# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Export of pretrained backbones to other libraries, each file proven before it appears."""

from nasiam_mm.export.backbone import LAYOUTS, export_backbone
from nasiam_mm.export.checkpoint import PretrainedBackbone, read_pretrained

__all__ = ['LAYOUTS', 'PretrainedBackbone', 'export_backbone', 'read_pretrained']
