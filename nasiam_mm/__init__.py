# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Search, train and measure the heads of Siamese self-supervised networks.

image -> views -> backbone -> projector -> predictor -> loss -> alpha step -> genotype -> pretrain
-> evaluate -> detection.
"""

from nasiam_mm.files.guard import guard_reading
from nasiam_mm.version import __version__ as __version__
from nasiam_mm.versions import check_versions

check_versions()
guard_reading()
