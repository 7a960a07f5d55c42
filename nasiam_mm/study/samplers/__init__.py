# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Samplers: what proposes the next head of a study, as samplers of Optuna."""

import nasiam_mm.study.samplers.comparator
import nasiam_mm.study.samplers.evolution
import nasiam_mm.study.samplers.random
import nasiam_mm.study.samplers.tpe  # noqa: F401
from nasiam_mm.study.samplers.sampler import SAMPLERS, HeadSampler, build_sampler

__all__ = ['SAMPLERS', 'HeadSampler', 'build_sampler']
