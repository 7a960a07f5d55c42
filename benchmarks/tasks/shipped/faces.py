# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Faces: 100 of them and 100 other patches, as scikit-image brings them from LFW."""

from pathlib import Path

import numpy as np

from benchmarks.tasks.task import OTHER, Pool, as_images, task
from nasiam_mm.versions import require

_FACES = 100  # come first


@task('faces', 'face or not', OTHER)
def faces(data: Path, seed: int) -> Pool:
    """Two classes, 1 for faces; 200 images whatever the seed."""
    found = require('skimage.data', 'analysis').lfw_subset()
    labels = (np.arange(len(found)) < _FACES).astype(np.int64)
    return Pool(as_images(np.uint8(np.round(255 * found))), labels)
