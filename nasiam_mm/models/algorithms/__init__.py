# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""mmpretrain's algorithms where a search needs more of them; SimSiam is stock."""

from nasiam_mm.models.algorithms.byol import BYOL
from nasiam_mm.models.algorithms.moco import MoCo
from nasiam_mm.models.algorithms.simclr import SimCLR

__all__ = ['BYOL', 'MoCo', 'SimCLR']
