# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Handwritten digits: the 1,797 of scikit-learn, 8 x 8 pixels."""

from pathlib import Path

import numpy as np

from benchmarks.tasks.task import OTHER, Pool, as_images, task
from nasiam_mm.versions import require


@task('digits', 'handwritten digits', OTHER)
def digits(data: Path, seed: int) -> Pool:
    """Ten classes; the data set is small and taken whole, whatever the seed."""
    found = require('sklearn.datasets', 'analysis').load_digits()
    # Ink is 0 to 16.
    return Pool(as_images(np.uint8(found.images * (255 / 16))), found.target.astype(np.int64))
