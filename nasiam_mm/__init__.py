# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Search, train and measure the heads of Siamese self-supervised networks.

image -> views -> backbone -> projector -> predictor -> loss -> alpha step ->
genotype -> pretrain -> evaluate -> detection.
"""

from nasiam_mm.utils.versions import check_versions
from nasiam_mm.version import __version__

check_versions()

__all__ = ['__version__']
