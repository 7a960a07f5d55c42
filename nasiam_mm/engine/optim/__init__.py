# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Who steps the weights, and in which precision."""

from nasiam_mm.engine.optim.autocast import AutocastOptimWrapper
from nasiam_mm.engine.optim.weight_constructor import WeightOptimWrapperConstructor

__all__ = ['AutocastOptimWrapper', 'WeightOptimWrapperConstructor']
