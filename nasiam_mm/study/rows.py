# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Trainings of a study as a plan reads them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Training:
    """A training of a study.

    Attributes:
        key: By what its head is known.
        seed: Of its run.
        state: ``'complete'``, ``'pruned'``, ``'running'`` or ``'waiting'``.
        score: Higher is better; None unless complete.
        fault: Why its head is no candidate: a limit that it breaks, or that it collapsed, or
            failed; '' where it is one.
        seconds: It took.
    """

    key: str
    seed: int
    state: str
    score: float | None = None
    fault: str = ''
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Trial(Training):
    """A training of the search, by the objective: its number, its head's options, its source."""

    number: int
    options: Mapping
    source: str


@dataclass(frozen=True, kw_only=True)
class Check(Training):
    """A training beside the search, on the recipe's own budget but for ``'reference'``.

    ``phase`` is ``'gradient'``, ``'reference'``, ``'pilot'``, ``'rerank'``, ``'verify'`` or
    ``'test'``, which trains nothing; ``correct`` tells image by image, (N,) bool, where known.
    """

    phase: str
    correct: Any = None
