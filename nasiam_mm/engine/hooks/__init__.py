# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What acts during a run."""

from nasiam_mm.engine.hooks.alpha_step_hook import AlphaStepHook
from nasiam_mm.engine.hooks.checkpoint_hook import AtomicCheckpointHook
from nasiam_mm.engine.hooks.collapse_hook import CollapseHook
from nasiam_mm.engine.hooks.genotype_hook import GenotypeHook
from nasiam_mm.engine.hooks.knn_hook import KNNHook

__all__ = ['AlphaStepHook', 'AtomicCheckpointHook', 'CollapseHook', 'GenotypeHook', 'KNNHook']
