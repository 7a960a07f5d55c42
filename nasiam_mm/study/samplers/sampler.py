# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What a sampler of a study is; registering one is all that a new one takes.

A sampler is made anew for each trial and keeps nothing: the same study, seed and number of the
trial give the same head, whichever process asks (docs/extend/sampler.md).
"""

import math
import zlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from nasiam_mm.architecture.kinds.kind import Option
from nasiam_mm.architecture.names import idle_choices
from nasiam_mm.part_registry import open_registry
from nasiam_mm.study.settings import build_named

SAMPLERS = open_registry('sampler', 'nasiam_mm.study.samplers')

Space = Mapping[str, CategoricalDistribution]
Head = dict[str, Any]


def build_sampler(config: Any, space: Space, seed: int) -> BaseSampler:
    """Build the sampler of a config for a study whose direction is 'maximize'.

    Args:
        config: A dict with a ``type``, as ``dict(type='Evolution', population=16)``.
        space: What there is to choose from, by the names of choices.
        seed: Of the trial that is to be sampled, from 0.

    Raises:
        ValueError: If the config or a setting is not usable.
    """
    if not space:
        raise ValueError('study.sampler has nothing to choose from: the space has no choice')
    if type(seed) is not int or seed < 0:
        raise ValueError(f'the seed of a sampler must be a whole number from 0, got {seed!r:.60}')
    return build_named(SAMPLERS, config, 'study.sampler', space=dict(space), seed=seed)


class Measured(NamedTuple):
    """A trial that a sampler learns from.

    Attributes:
        number: Of the trial.
        head: Option of every choice of the space.
        rank: Larger is better, compared from the left: feasible and complete ones by their value;
            below them pruned ones, by the step they came to and the last value there; below them
            infeasible ones, by how much they are over. The order that Optuna's TPE has.
    """

    number: int
    head: Head
    rank: tuple[float, float, float]


def rank_of(trial: FrozenTrial) -> tuple[float, float, float]:
    """Return the rank of a trial that is complete or pruned, see :class:`Measured`."""
    over = sum(value for value in trial.constraints.values() if value > 0)
    if over > 0:
        return (0.0, 0.0, -over)
    if trial.state == TrialState.COMPLETE:
        assert trial.value is not None
        return (2.0, 0.0, trial.value)
    if not trial.intermediate_values:
        return (1.0, -1.0, 0.0)
    step, value = max(trial.intermediate_values.items())
    return (1.0, float(step), -math.inf if math.isnan(value) else value)


def decided(head: Mapping[str, Option]) -> tuple[tuple[str, Option], ...]:
    """Return what of a head counts: two heads are the same where this is."""
    return _decided(tuple(sorted(head.items())))


@lru_cache(maxsize=10_000)
def _decided(head: tuple[tuple[str, Option], ...]) -> tuple[tuple[str, Option], ...]:
    idle = idle_choices(dict(head))
    return tuple(pair for pair in head if pair[0] not in idle)


class HeadSampler(BaseSampler):
    """A sampler that proposes whole heads by what the study has measured.

    Trials that failed count for nothing; running ones are given apart.

    Args:
        space: What there is to choose from, by the names of choices.
        seed: Of the trial.
    """

    def __init__(self, space: Space, seed: int) -> None:
        self.space = {name: space[name] for name in sorted(space)}
        self.seed = seed

    def propose(
        self, measured: Sequence[Measured], running: Sequence[Head], rng: np.random.Generator
    ) -> Head:
        """Return the option of every choice for the next trial.

        Args:
            measured: Trials that are complete or pruned, by number.
            running: Heads that other workers are training.
            rng: All chance is to come from it.
        """
        raise NotImplementedError

    def draw(self, rng: np.random.Generator) -> Head:
        """Draw every choice uniformly."""
        return {name: d.choices[rng.integers(len(d.choices))] for name, d in self.space.items()}

    def neighbours(self, head: Head) -> dict[str, list[Head]]:
        """Return the heads one choice away that decide otherwise, by the name of the choice."""
        here = decided(head)
        found = {}
        for name, distribution in self.space.items():
            others = [{**head, name: o} for o in distribution.choices if o != head[name]]
            if counts := [other for other in others if decided(other) != here]:
                found[name] = counts
        return found

    def mutate(self, head: Head, rng: np.random.Generator) -> Head:
        """Change one choice so that the head decides otherwise; the head itself if none can."""
        found = list(self.neighbours(head).values())
        if not found:
            return head
        others = found[rng.integers(len(found))]
        return others[rng.integers(len(others))]

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the whole space: a head is proposed in one piece."""
        return dict(self.space)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Propose a head by the trials of the study, or of the trial's bracket of Hyperband."""
        states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
        others = study.get_trials(deepcopy=False, states=states)
        others = [t for t in others if t.number != trial.number and self._is_of_space(t)]
        running = [self._head(t) for t in others if t.state == TrialState.RUNNING]
        done = [t for t in others if t.state != TrialState.RUNNING]
        measured = [Measured(t.number, self._head(t), rank_of(t)) for t in done]
        rng = np.random.default_rng([self.seed, trial.number])
        return self.propose(sorted(measured), running, rng)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Draw a choice that the space does not have."""
        if not isinstance(param_distribution, CategoricalDistribution):
            raise ValueError(f'{param_name!r} must be categorical, got {param_distribution!r:.60}')
        rng = np.random.default_rng([self.seed, trial.number, zlib.crc32(param_name.encode())])
        return param_distribution.choices[rng.integers(len(param_distribution.choices))]

    def _is_of_space(self, trial: FrozenTrial) -> bool:
        known = (n in self.space and o in self.space[n].choices for n, o in trial.params.items())
        return bool(trial.params) and all(known)

    def _head(self, trial: FrozenTrial) -> Head:
        # What decided nothing need not have been asked for.
        first = {name: distribution.choices[0] for name, distribution in self.space.items()}
        return first | trial.params
