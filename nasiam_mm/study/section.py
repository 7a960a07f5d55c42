# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The ``study`` section of a config: how heads are searched by training them, and checked."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from mmengine.config import Config

from nasiam_mm.study.budget import Budget, split_budget

MOST_SEED = 10**9  # a seed is below 2^32, and those of a study follow on its own
_LIMITS = ('parameters', 'flops', 'seconds')


@dataclass(frozen=True)
class Study:
    """What is searched for, by what, and how the answer is checked (contract C15).

    Attributes:
        baseline: Config of the standard head, a candidate of every study; None for the shipped one
            of the same name with ``_baseline_``.
        recipe: Config that trains a genotype at the budget the answer is for; None for the study's
            own config or, of a search by gradient, that of the same name with ``_pretrain_``.
        sampler: Config of a registered sampler; what proposes heads.
        pruner: Config of a registered pruner, or None: what stops a training early.
        objective: What trials are ranked by: ``'knn'`` of ``probe.query``, or the config of a
            registered measure.
        budget: Trainings in all, from which trials and their checks are dealt out; None to set
            those one by one.
        trials: Trainings of the search.
        rerank: Heads that are trained again after the search, on the recipe's own budget.
        rerank_seeds: Trainings of each of them.
        verify: Heads that are compared with the standard one on fresh seeds.
        max_seeds: Seeds of that comparison, at most.
        margin: Points that a head must gain to be worth a change.
        images: Training images that only the comparison is made on, at most; they are in no other
            part. 0: on those of ``probe.query``, which flatters what was chosen by them.
        cheap: Settings, as of ``--cfg-options``, that make the recipe a cheap one for trials.
        pilot: Heads trained both cheaply and not, before ``cheap`` is relied on.
        limits: Most that a head may cost: ``parameters`` and ``flops`` (of one image, forward) of
            the network that is trained, ``seconds`` of its training.
        min_std: ``collapse/std`` of z below which a training counts as collapsed: 1 where it is as
            spread as a Gaussian, 0 where it is a point.
        min_rank: The same of ``collapse/effective_rank``: 1 where z is a line.
        gradient: Searches by gradient whose heads are candidates: dicts of ``strategy``, a name of
            ``configs/search``, and ``top``, heads of its ranking by the supernet.
        candidates: Files of genotypes to compare as well.
        seed: Of the study: of samplers, and the first of its trainings.
    """

    baseline: str | None = None
    recipe: str | None = None
    sampler: Mapping = field(default_factory=lambda: dict(type='TPE'))
    pruner: Mapping | None = None
    objective: str | Mapping = 'knn'
    budget: int | None = None
    trials: int = 18
    rerank: int = 0
    rerank_seeds: int = 2
    verify: int = 1
    max_seeds: int = 6
    margin: float = 1.0
    images: int = 5000
    cheap: Mapping[str, Any] = field(default_factory=dict)
    pilot: int = 4
    limits: Mapping[str, float] = field(default_factory=dict)
    min_std: float = 0.1
    min_rank: float = 2.0
    gradient: Sequence[Mapping] = ()
    candidates: Sequence[str] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        counts = {'trials': 0, 'rerank': 0, 'rerank_seeds': 1, 'verify': 0, 'max_seeds': 3}
        for name, least in {**counts, 'images': 0, 'pilot': 3, 'seed': 0}.items():
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise ValueError(f'study.{name} must be an integer from {least}, got {value!r}')
        if self.images == 1:
            raise ValueError('study.images must be 0 or an integer from 2, got 1')
        for name, most in {'verify': 100, 'max_seeds': 1000, 'rerank_seeds': 500}.items():
            if getattr(self, name) > most:
                raise ValueError(f'study.{name} must be at most {most}, got {getattr(self, name)}')
        if self.seed > MOST_SEED:
            raise ValueError(f'study.seed must be at most {MOST_SEED}, got {self.seed}')
        for name in ('margin', 'min_std', 'min_rank'):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or isinstance(value, bool) or not value > 0:
                raise ValueError(f'study.{name} must be a number above 0, got {value!r}')
        for name, value in self.limits.items():
            if name not in _LIMITS:
                raise ValueError(f'study.limits.{name} is none of {", ".join(_LIMITS)}')
            if not isinstance(value, (int, float)) or not value > 0:
                raise ValueError(f'study.limits.{name} must be above 0, got {value!r}')
        for number, source in enumerate(self.gradient):
            where = f'study.gradient[{number}]'
            if not isinstance(source, Mapping) or not source.get('strategy'):
                raise ValueError(f"{where} must be a dict, as dict(strategy='gdas'), got {source}")
            if unknown := set(source) - {'strategy', 'config', 'top'}:
                told = 'there are strategy, config and top'
                raise ValueError(f'{where}.{min(unknown)} is no setting; {told}')
        if not (self.trials or self.candidates or self.gradient):
            raise ValueError('study.trials is 0 and no candidates are given: nothing to compare')

    def dealt(self) -> 'Study':
        """Return the study with its ``budget`` dealt out to trials and checks."""
        if self.budget is None:
            return self
        dealt: Budget = split_budget(self.budget)
        return dataclasses.replace(self, budget=None, **dealt._asdict())


def read_study(cfg: Config | Mapping) -> Study:
    """Read the section of a config, the defaults where it has none; ValueError if impossible."""
    section = cfg.get('study') or {}
    if not isinstance(section, Mapping):
        raise ValueError(f'study must be a dict, got {section!r:.60}')
    known = [f.name for f in dataclasses.fields(Study)]
    if unknown := [key for key in section if key not in known]:
        near = get_close_matches(unknown[0], known, n=1)
        hint = f'did you mean study.{near[0]}?' if near else f'there are {", ".join(known)}'
        raise ValueError(f'study.{unknown[0]} is no setting; {hint}')
    # None takes a setting of the recipe away.
    section = {name: value for name, value in section.items() if value is not None}
    both = [name for name in Budget._fields if name in section]
    if 'budget' in section and both:
        mend = 'give one of them, as study.budget=None'
        raise ValueError(f'study.budget deals out study.{both[0]}, which is set as well; {mend}')
    return Study(**section).dealt()
