# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Measuring what a search is worth: features, runs, the papers' tables."""
