# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What acts during a run."""

from nasiam_mm.engine.hooks.checkpoint_hook import AtomicCheckpointHook
from nasiam_mm.engine.hooks.collapse_hook import CollapseHook
from nasiam_mm.engine.hooks.compile_hook import CompileHook
from nasiam_mm.engine.hooks.frozen_hook import FrozenHook
from nasiam_mm.engine.hooks.memory_format_hook import MemoryFormatHook
from nasiam_mm.engine.hooks.resume_hook import ResumeHook
from nasiam_mm.engine.hooks.run_state_hook import RunStateHook
from nasiam_mm.engine.hooks.runtime_info_hook import BufferedRuntimeInfoHook

__all__ = [
    'AtomicCheckpointHook',
    'BufferedRuntimeInfoHook',
    'CollapseHook',
    'CompileHook',
    'FrozenHook',
    'MemoryFormatHook',
    'ResumeHook',
    'RunStateHook',
]
