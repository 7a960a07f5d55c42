# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Features of a backbone and what is measured on them."""

import nasiam_mm.probes.view_measures  # noqa: F401
from nasiam_mm.probes.hook import ProbeHook as ProbeHook
