# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Selections that measure the supernet on held-out images at the end of a search."""

import math
from typing import Any

import torch
from mmengine.runner import Runner
from torch import nn

from nasiam_mm.architecture.alpha import Architecture
from nasiam_mm.engine.running import preserve_rng
from nasiam_mm.part_registry import build_part
from nasiam_mm.search.criteria import CRITERIA, Criterion
from nasiam_mm.search.selection import Decisions, Selection, TopK
from nasiam_mm.search.tuning import copy_of


class Measured(Selection):
    """A selection by a criterion, made on a copy of the model: the run stays as it is.

    All that is drawn is a function of the run's seed, so that a run that was killed meanwhile and
    is resumed comes to the same decisions.

    Args:
        criterion: Config of a registered criterion; None for ``HeldOutContrast``.
    """

    looks_at_data = True

    def __init__(self, criterion: dict | None = None) -> None:
        told = dict(type='HeldOutContrast') if criterion is None else criterion
        self.criterion: Criterion = build_part(CRITERIA, told, 'criterion of a selection')

    def told(self) -> dict[str, Any]:
        """Settings that the provenance of a genotype holds beside the name."""
        return {'criterion': {'type': type(self.criterion).__name__, **self.criterion.told()}}

    def check(self, runner: Runner) -> None:
        """Raise ValueError at the start of a run that it cannot choose for."""
        with preserve_rng():
            self.criterion.check(runner)

    def decide(self, architecture: Architecture) -> Decisions:
        """Choose by alpha alone: the best of each layer, as long as nothing was measured."""
        return TopK().decide(architecture)

    def finish(self, runner: Runner, architecture: Architecture) -> Decisions:
        """Measure, and choose."""
        with preserve_rng():
            torch.manual_seed(runner.seed)
            return self.choose(runner, copy_of(runner.model))

    def choose(self, runner: Runner, model: nn.Module) -> Decisions:
        """Choose by what a copy of the model tells, which is the selection's to change."""
        raise NotImplementedError

    def value(self, model: nn.Module) -> float:
        """Measure the model; minus infinity for what is no number."""
        value = self.criterion.value(model)
        return -math.inf if math.isnan(value) else value
