# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The rows of one framework at one scale as a table of heads by seeds."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nasiam_mm.study.section import Study

# What a study calls collapsed, of means over seeds: deviation and directions of z, at least.
_LEAST = {'std_z': Study.min_std, 'rank_z': Study.min_rank}


@dataclass(frozen=True)
class Table:
    """Heads that were trained with every seed.

    Attributes:
        heads: Their names.
        seeds: The seeds.
        decided: What each head is, by the choices that count in it.
        rows: Head -> seed -> row.
    """

    heads: Sequence[str]
    seeds: Sequence[int]
    decided: Sequence[Mapping[str, Any]]
    rows: Mapping[str, Mapping[int, Mapping[str, Any]]]

    def scores(self, of: str, epoch: int = -1) -> np.ndarray:
        """Return a figure, (heads, seeds), after an epoch; NaN where a run has none."""
        return np.array(
            [[_figure(self.rows[h][s], of, epoch) for s in self.seeds] for h in self.heads]
        )


def table_of(rows: Sequence[Mapping[str, Any]], framework: str, scale: str) -> Table:
    """Return the table of those drawn heads that have every seed that most of them have.

    Raises:
        ValueError: If there are no rows of it.
    """
    found: dict[str, dict[int, Mapping[str, Any]]] = {}
    for row in rows:
        is_ours = row['framework'] == framework and row['scale'] == scale
        if is_ours and is_drawn(row['head']):
            found.setdefault(row['head'], {})[row['seed']] = row
    if not found:
        raise ValueError(f'there are no rows of {framework} at scale {scale}')
    seeds = shared_seeds(found.values())
    heads = sorted(head for head, of in found.items() if {*seeds} <= {*of})
    decided = [found[head][seeds[0]]['decided'] for head in heads]
    return Table(heads, seeds, decided, found)


def shared_seeds(found: Iterable[Iterable[int]]) -> list[int]:
    """Return the seeds that at least half as many heads have as have the most common one."""
    counts = Counter(seed for of in found for seed in of)
    most = max(counts.values(), default=0)
    return sorted(seed for seed, count in counts.items() if 2 * count >= most)


def healthy(table: Table) -> Table:
    """Return the table less the heads whose output has collapsed, by what studies go by."""
    low = [table.scores(of).mean(1) < least for of, least in _LEAST.items()]
    kept = np.flatnonzero(~np.any(low, axis=0))
    heads = [table.heads[n] for n in kept]
    return Table(heads, table.seeds, [table.decided[n] for n in kept], table.rows)


def is_drawn(head: str) -> bool:
    """Tell whether a head is of the balanced draw, h00 to h95."""
    return head.startswith('h') and head[1:].isdecimal()


def _figure(row: Mapping[str, Any], of: str, epoch: int) -> float:
    value = row[of]
    if isinstance(value, list):
        return value[epoch] if value else float('nan')
    return value
