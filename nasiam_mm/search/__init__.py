# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Searching: the alpha step on a held-out part, and the record of what it finds.

Called, it is :func:`nasiam_mm.api.search`.
"""

import nasiam_mm.search.edges
import nasiam_mm.search.gradient.alpha_terms
import nasiam_mm.search.gradient.costs
import nasiam_mm.search.gradient.embedding_terms
import nasiam_mm.search.gradient.hook
import nasiam_mm.search.gradient.pruning
import nasiam_mm.search.gradient.stages
import nasiam_mm.search.health
import nasiam_mm.search.perturbation
import nasiam_mm.search.recorder
import nasiam_mm.search.sampled  # noqa: F401
from nasiam_mm.imports import make_callable

make_callable(__name__)
