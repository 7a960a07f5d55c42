# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Features of a backbone and what is measured on them."""

from nasiam_mm.probes.hook import ProbeHook
from nasiam_mm.probes.measure import measure
from nasiam_mm.probes.section import Probe, read_probe

__all__ = ['Probe', 'ProbeHook', 'measure', 'read_probe']
