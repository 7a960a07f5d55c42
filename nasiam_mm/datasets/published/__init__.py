# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Published sets for downstream use: how each is opened where it lies, in its authors' form.

Nothing is downloaded unless that is asked for. :func:`bring` makes a folder of one that any recipe
takes; a set of yours is a :class:`PublishedSet`, registered.
"""

# ruff: noqa: F401
from nasiam_mm.datasets.published import folders, medmnist, torchvision_sets
from nasiam_mm.datasets.published.bringing import bring
from nasiam_mm.datasets.published.published_set import (
    PUBLISHED,
    Arrays,
    Files,
    PublishedSet,
    find_set,
    register_set,
)
