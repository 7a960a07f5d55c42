# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Searching: the alpha step on a held-out part, and the record of what it finds."""

from nasiam_mm.search.gradient.hook import AlphaStepHook
from nasiam_mm.search.recorder import GenotypeHook

__all__ = ['AlphaStepHook', 'GenotypeHook']
