# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Runs: which one it is, what it left, whether two ended alike."""
