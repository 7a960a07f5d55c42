# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Rows of a study as arrays: which backbone did how well on which task, again and again."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Scores:
    """Accuracies of backbones on tasks.

    Attributes:
        names: Of the n backbones.
        parameters: Of each, (n,).
        tasks: Names of the T tasks.
        values: Percent, (T, n, R). The R repetitions err each on its own: seeds of pretraining
            where there are two or more, the splits of the tasks otherwise.
        of: What the repetitions are, 'seeds' or 'splits'.
    """

    names: Sequence[str]
    parameters: np.ndarray
    tasks: Sequence[str]
    values: np.ndarray
    of: str

    @property
    def means(self) -> np.ndarray:
        """Mean over the repetitions, (T, n)."""
        return self.values.mean(2)


def scores_of(rows: Iterable[Row], classifier: str = 'linear') -> Scores:
    """Arrange rows; a backbone that lacks a seed or a task of another is left out.

    Args:
        rows: Of ``rows.jsonl``.
        classifier: Whose figures.

    Raises:
        ValueError: If fewer than four backbones are left.
    """
    found: dict[str, dict[int, Row]] = {}
    for row in rows:
        found.setdefault(row['backbone'], {})[row['seed']] = row
    seeds = sorted({seed for runs in found.values() for seed in runs})
    tasks = list(
        dict.fromkeys(t for runs in found.values() for r in runs.values() for t in r['tasks'])
    )
    whole = {
        name: [runs[seed] for seed in seeds]
        for name, runs in found.items()
        if len(runs) == len(seeds) and all(set(tasks) == set(r['tasks']) for r in runs.values())
    }
    if len(whole) < 4:
        told = f'{len(whole)} of {len(found)} have all seeds and tasks'
        raise ValueError(f'a study needs four backbones or more, {told}; make what is missing')
    # (n, seeds, T, splits)
    each = np.array(
        [[[r['tasks'][t][classifier] for t in tasks] for r in runs] for runs in whole.values()]
    )
    values = each.mean(3) if len(seeds) > 1 else each[:, 0].swapaxes(1, 2)
    return Scores(
        names=list(whole),
        parameters=np.array([runs[0]['parameters'] for runs in whole.values()]),
        tasks=tasks,
        values=values.transpose(2, 0, 1),
        of='seeds' if len(seeds) > 1 else 'splits',
    )
