# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Loop, hooks, optimizers: what acts while training."""

from nasiam_mm.engine.hooks.checkpoint_hook import AtomicCheckpointHook
from nasiam_mm.engine.hooks.collapse_hook import CollapseHook
from nasiam_mm.engine.hooks.fixed_lr_hook import FixedLrHook
from nasiam_mm.engine.hooks.frozen_hook import FrozenHook
from nasiam_mm.engine.hooks.resume_hook import ResumeHook
from nasiam_mm.engine.hooks.run_state_hook import RunStateHook
from nasiam_mm.engine.hooks.runtime_info_hook import BufferedRuntimeInfoHook
from nasiam_mm.engine.hooks.speed_hooks import CompileHook, MemoryFormatHook
from nasiam_mm.engine.loops import ResumableTrainLoop
from nasiam_mm.engine.optim import AutocastOptimWrapper, WeightOptimWrapperConstructor
from nasiam_mm.engine.runner import NasiamRunner

__all__ = [
    'AtomicCheckpointHook',
    'AutocastOptimWrapper',
    'BufferedRuntimeInfoHook',
    'CollapseHook',
    'CompileHook',
    'FixedLrHook',
    'FrozenHook',
    'MemoryFormatHook',
    'NasiamRunner',
    'ResumableTrainLoop',
    'ResumeHook',
    'RunStateHook',
    'WeightOptimWrapperConstructor',
]
