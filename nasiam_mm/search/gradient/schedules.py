# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Schedules: what changes as a search goes on.

Each is a function of how far the search is, asked before every weight step: there is nothing to
save, and a resumed search stands where it would have.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch

from nasiam_mm.architecture.alpha import Architecture
from nasiam_mm.part_registry import open_registry

SCHEDULES = open_registry('search schedule', 'nasiam_mm.search')


@dataclass
class SearchStep:
    """Where a search stands before a weight step, and what schedules decide of it.

    Attributes:
        runner: The run; None in :meth:`Schedule.check`, which may be before there is one.
        architecture: The owner of alpha.
        optimizer: That of alpha; None where none steps it.
        iteration: Iterations done.
        iterations: Those of the whole search.
        stages: Number of equal stages that it has.
        takes_alpha_step: Whether alpha is stepped before this weight step.
        restarted: Whether weights and optimizers begin anew with it.
    """

    runner: Any
    architecture: Architecture
    optimizer: torch.optim.Optimizer | None
    iteration: int
    iterations: int
    stages: int = 1
    takes_alpha_step: bool = True
    restarted: bool = False

    @property
    def progress(self) -> float:
        """Share of the search that is done, from 0 to 1."""
        return self.iteration / self.iterations

    @property
    def stage(self) -> int:
        """Number of the stage, from 0."""
        return min(self.iteration * self.stages // self.iterations, self.stages - 1)

    @property
    def stage_progress(self) -> float:
        """Share of the stage that is done, from 0 to 1."""
        # Whole numbers: a share of 0.4 begins where it says.
        behind = self.stage * self.iterations
        return (self.iteration * self.stages - behind) / self.iterations


def are_numbers(values: Any, least: float, below: float) -> bool:
    """Tell whether these are numbers, some at all, in a list, from ``least`` to ``below``."""
    is_list = isinstance(values, (list, tuple)) and len(values) > 0
    return is_list and all(type(v) in (int, float) and least <= v < below for v in values)


class Schedule:
    """Something that moves with a search.

    Attributes:
        stages: Number of equal stages that it divides the search into.
        is_alone: Whether a second one of its kind would undo what it sets.
    """

    stages = 1
    is_alone = False

    def check(self, step: SearchStep) -> None:
        """Raise ValueError at the start of a run that it cannot serve."""

    def apply(self, step: SearchStep) -> None:
        """Set what this schedule moves to where the search stands; before every weight step."""
        raise NotImplementedError


_SHAPES = {
    'linear': lambda start, end, share: start + (end - start) * share,
    'cosine': lambda start, end, share: end + (start - end) * (1 + math.cos(math.pi * share)) / 2,
    'exponential': lambda start, end, share: start * (end / start) ** share,
}


class Ramp(Schedule):
    """A number that goes from ``start`` to ``end`` over the search.

    Args:
        start: Its value at the beginning.
        end: Its value at the end.
        shape: ``'linear'``, ``'cosine'`` or ``'exponential'`` (both ends positive).
    """

    is_alone = True

    def __init__(self, start: float, end: float, shape: str = 'linear') -> None:
        name = type(self).__name__
        if shape not in tuple(_SHAPES):
            raise ValueError(f'{name}.shape must be one of {", ".join(_SHAPES)}, got {shape!r}')
        for what, value in (('start', start), ('end', end)):
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not number or not self.allows(value) or (shape == 'exponential' and value <= 0):
                raise ValueError(f'{name}.{what} cannot be {value!r}')
        self.start, self.end, self.shape = start, end, shape

    def allows(self, value: float) -> bool:
        """Whether the number may be this."""
        return 0 <= value < math.inf

    def value(self, progress: float) -> float:
        """The number where this share of the search, from 0 to 1, is done."""
        return _SHAPES[self.shape](self.start, self.end, progress)


@SCHEDULES.register_module()
class AlphaWarmup(Schedule):
    """Leave alpha alone at first, so that it does not choose by untrained weights.

    PC-DARTS takes 15 of 50 epochs, P-DARTS 10 of each stage's 25.

    Args:
        share: Share of the search, or of each of its stages, before the first alpha step.
    """

    def __init__(self, share: float = 0.3) -> None:
        if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share <= 1:
            raise ValueError(f'AlphaWarmup.share must be from 0 to 1, got {share!r}')
        self.share = share

    def apply(self, step: SearchStep) -> None:
        """Let this step go without alpha, or not."""
        if step.stage_progress < self.share:
            step.takes_alpha_step = False


@SCHEDULES.register_module()
class Temperature(Ramp):
    """Temperature of the relaxation; GDAS takes it linearly from 10 to 0.1."""

    def allows(self, value: float) -> bool:
        """Whether the temperature may be this."""
        return 0 < value < math.inf

    def check(self, step: SearchStep) -> None:
        """Raise ValueError where the relaxation has no temperature."""
        relaxation = step.architecture.relaxation
        if not hasattr(relaxation, 'temperature'):
            name = type(relaxation).__name__
            raise ValueError(f'the schedule Temperature moves nothing: {name} has no temperature')

    def apply(self, step: SearchStep) -> None:
        """Set the temperature."""
        relaxation: Any = step.architecture.relaxation
        relaxation.temperature = self.value(step.progress)


@SCHEDULES.register_module()
class AlphaLearningRate(Ramp):
    """Factor on the learning rate of alpha that ``optimizer.lr`` gives."""

    def check(self, step: SearchStep) -> None:
        """Raise ValueError where no optimizer steps alpha."""
        if step.optimizer is None:
            raise ValueError('the schedule AlphaLearningRate moves nothing: alpha has no optimizer')

    def apply(self, step: SearchStep) -> None:
        """Set the rate."""
        optimizer: Any = step.optimizer
        for group in optimizer.param_groups:
            group['lr'] = group.setdefault('initial_lr', group['lr']) * self.value(step.progress)


@SCHEDULES.register_module()
class AuxiliaryDecay(Ramp):
    """Strength beta of the auxiliary branch; DARTS- takes it linearly from 1 to 0."""

    def __init__(self, start: float = 1.0, end: float = 0.0, shape: str = 'linear') -> None:
        super().__init__(start, end, shape)

    def apply(self, step: SearchStep) -> None:
        """Set the strength."""
        step.architecture.auxiliary = self.value(step.progress)
