# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Projectors and predictors."""

from nasiam_mm.models.heads.head_mlp import HeadMLP, head_shapes

__all__ = ['HeadMLP', 'head_shapes']
