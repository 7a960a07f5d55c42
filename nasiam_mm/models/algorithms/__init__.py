# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""mmpretrain's algorithms with heads that can be searched, one file each."""

from nasiam_mm.models.algorithms.byol import BYOL
from nasiam_mm.models.algorithms.moco import MoCo
from nasiam_mm.models.algorithms.searched import Searched
from nasiam_mm.models.algorithms.simclr import SimCLR
from nasiam_mm.models.algorithms.simsiam import SimSiam

__all__ = ['BYOL', 'MoCo', 'Searched', 'SimCLR', 'SimSiam']
