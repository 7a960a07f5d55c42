# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Loop, hooks, optimizers: what acts while training."""

from nasiam_mm.engine.hooks import (
    AtomicCheckpointHook,
    BufferedRuntimeInfoHook,
    CollapseHook,
    CompileHook,
    FrozenHook,
    MemoryFormatHook,
    ResumeHook,
    RunStateHook,
)
from nasiam_mm.engine.loops import ResumableTrainLoop
from nasiam_mm.engine.optim import AutocastOptimWrapper, WeightOptimWrapperConstructor
from nasiam_mm.engine.runner import NasiamRunner

__all__ = [
    'AtomicCheckpointHook',
    'AutocastOptimWrapper',
    'BufferedRuntimeInfoHook',
    'CollapseHook',
    'CompileHook',
    'FrozenHook',
    'MemoryFormatHook',
    'NasiamRunner',
    'ResumableTrainLoop',
    'ResumeHook',
    'RunStateHook',
    'WeightOptimWrapperConstructor',
]
