# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The alpha step, hooks, optimizers: what acts while training."""

from nasiam_mm.engine.alpha_step import alpha_gradients, only_alpha_learns
from nasiam_mm.engine.hooks import (
    AlphaStepHook,
    AtomicCheckpointHook,
    BufferedRuntimeInfoHook,
    CollapseHook,
    CompileHook,
    FrozenHook,
    GenotypeHook,
    KNNHook,
    MemoryFormatHook,
    ResumeHook,
    RunStateHook,
)
from nasiam_mm.engine.loops import ResumableTrainLoop
from nasiam_mm.engine.optim import AutocastOptimWrapper, WeightOptimWrapperConstructor

__all__ = [
    'AlphaStepHook',
    'AtomicCheckpointHook',
    'AutocastOptimWrapper',
    'BufferedRuntimeInfoHook',
    'CollapseHook',
    'CompileHook',
    'FrozenHook',
    'GenotypeHook',
    'KNNHook',
    'MemoryFormatHook',
    'ResumableTrainLoop',
    'ResumeHook',
    'RunStateHook',
    'WeightOptimWrapperConstructor',
    'alpha_gradients',
    'only_alpha_learns',
]
