# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The alpha step, hooks, optimizers: what acts while training."""

from nasiam_mm.engine.alpha_step import alpha_gradients, only_alpha_learns
from nasiam_mm.engine.hooks import (
    AlphaStepHook,
    AtomicCheckpointHook,
    CollapseHook,
    GenotypeHook,
    KNNHook,
)
from nasiam_mm.engine.optim import AutocastOptimWrapper, WeightOptimWrapperConstructor

__all__ = [
    'AlphaStepHook',
    'AtomicCheckpointHook',
    'AutocastOptimWrapper',
    'CollapseHook',
    'GenotypeHook',
    'KNNHook',
    'WeightOptimWrapperConstructor',
    'alpha_gradients',
    'only_alpha_learns',
]
