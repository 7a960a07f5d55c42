# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Layers and cells whose operation is a choice."""
