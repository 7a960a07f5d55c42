# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Textures: of which surface a grey patch is, by other regions of the same photographs."""

from pathlib import Path

import cv2
import numpy as np

from benchmarks.tasks.task import IMAGES, OTHER, Pool, as_images, generator, task
from nasiam_mm.versions import require

# Photographs that are in scikit-image's own package.
SURFACES = ('brick', 'grass', 'gravel', 'immunohistochemistry', 'hubble_deep_field', 'moon')
ROWS, COLUMNS = 4, 6  # regions of a photograph
_EDGE = (32, 64)  # pixels of a patch, less than a region's


@task('textures', 'texture patches', OTHER)
def textures(data: Path, seed: int) -> Pool:
    """Six classes; patches of a region are in one part only, and do not reach beyond it."""
    library, rng = require('skimage.data', 'analysis'), generator(seed, 'textures')
    each = IMAGES // (len(SURFACES) * ROWS * COLUMNS)
    patches, labels, regions = [], [], []
    for label, name in enumerate(SURFACES):
        photograph = getattr(library, name)()
        if photograph.ndim == 3:
            photograph = cv2.cvtColor(photograph, cv2.COLOR_RGB2GRAY)
        for number, region in enumerate(_regions(photograph)):
            for _ in range(each):
                edge = int(rng.integers(_EDGE[0], min(_EDGE[1], *region.shape) + 1))
                top, left = (rng.integers(length - edge + 1) for length in region.shape)
                patch = region[top : top + edge, left : left + edge]
                patches.append(np.ascontiguousarray(patch[:, :: rng.choice([1, -1])]))
                labels.append(label)
                regions.append(label * ROWS * COLUMNS + number)
    return Pool(as_images(patches), np.array(labels), np.array(regions))


def _regions(photograph: np.ndarray) -> list[np.ndarray]:
    strips = np.array_split(photograph, ROWS)
    return [region for strip in strips for region in np.array_split(strip, COLUMNS, 1)]
