# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Measures of features as pure functions, a module each; nothing here knows a model."""
