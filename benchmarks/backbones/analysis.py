# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""All correlations of a study, computed once for the parts of its page."""

from functools import cached_property

import numpy as np

from benchmarks.backbones.correlations import (
    KINDS,
    Correlations,
    bootstrap,
    correlate,
    holm,
    p_values,
    pairs,
)
from benchmarks.backbones.scores import Scores


class Analysis:
    """Correlations between the tasks of a study, drawn again, and tested.

    Args:
        scores: Of its backbones.
        resamples: Of the bootstrap over them.
    """

    def __init__(self, scores: Scores, resamples: int) -> None:
        self.scores, self.resamples = scores, resamples
        self.rows, self.columns = pairs(len(scores.tasks))

    @cached_property
    def found(self) -> Correlations:
        """Correlations between T tasks, (T, T) each."""
        return correlate(self.scores.values, self.scores.parameters)

    @cached_property
    def drawn(self) -> dict[str, np.ndarray]:
        """Kind -> correlations over resamples, (resamples, T, T)."""
        return bootstrap(self.scores.values, self.scores.parameters, self.resamples)

    @cached_property
    def p(self) -> dict[str, np.ndarray]:
        """Kind -> p-values, (T, T), corrected for the number of pairs; the diagonal is 0."""
        count, corrected = len(self.scores.names), {}
        for others, kind in enumerate(KINDS[:2]):
            each = holm(p_values(self.of(kind)[self.rows, self.columns], count, others))
            matrix = np.zeros((len(self.scores.tasks),) * 2)
            matrix[self.rows, self.columns] = matrix[self.columns, self.rows] = each
            corrected[kind] = matrix
        return corrected

    def of(self, kind: str) -> np.ndarray:
        """Return the correlations of a kind, (T, T)."""
        return getattr(self.found, kind)
