# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Heads that searches by gradient chose, as points of score against cost."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np


class Point(NamedTuple):
    """What a strategy's searches came to, one for each seed and trained with it."""

    strategy: str
    runs: int
    score: float  # mean kNN of the chosen heads on test images, percent
    deviation: float  # between the runs; NaN of a single one
    searching: float  # seconds of CPU, mean of the searches
    seconds: float  # of a search and the training of its head


def points(rows: Sequence[Mapping[str, Any]], framework: str, scale: str) -> list[Point]:
    """Return the points of the rows that a search chose the head of, the best first."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if 'search_seconds' in row and (row['framework'], row['scale']) == (framework, scale):
            found.setdefault(row['head'].rpartition('-')[0], []).append(row)
    told = []
    for strategy, runs in found.items():
        scores = np.array([run['knn_test'][-1] for run in runs])
        deviation = float(scores.std(ddof=1)) if len(runs) > 1 else float('nan')
        search = float(np.mean([run['search_seconds'] for run in runs]))
        whole = search + float(np.mean([run['seconds'] for run in runs]))
        told.append(Point(strategy, len(runs), float(scores.mean()), deviation, search, whole))
    return sorted(told, key=lambda point: -point.score)
