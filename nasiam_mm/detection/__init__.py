# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Transfer of a pretrained backbone to mmdet's detectors, whose configs name it in custom_imports.

Importing it makes mmdet usable on plain wheels and registers what those configs take from
mmpretrain, ``mmpretrain.ResNet_CIFAR`` and mmdet's ``ResLayerExtraNorm``, and backbones of choices.
"""

from nasiam_mm.console.alarms import no_alarms, quiet_imports
from nasiam_mm.versions import require

quiet_imports()
require('mmdet', 'detection')

from nasiam_mm.detection.mmcv_ops import install  # noqa: E402

install()

# After install(): both look for the ops while they are imported.
with no_alarms():
    import mmdet.models  # noqa: F401
    import mmpretrain.models  # noqa: F401
    from mmdet.registry import MODELS

    import nasiam_mm.models.backbones as searched

for _name in searched.__all__:
    # A registry of mmdet finds parts of mmpretrain's, none of those below it.
    MODELS.register_module(module=getattr(searched, _name))
