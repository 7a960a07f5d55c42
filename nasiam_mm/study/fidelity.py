# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""How well cheap trainings rank heads as those at the recipe's own budget do."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from nasiam_mm.study.rows import Check, Trial


class Fidelity(NamedTuple):
    """Heads trained both ways, (cheap score, score), and Spearman's rank correlation of the two."""

    pairs: Mapping[str, tuple[float, float]]
    correlation: float | None  # None for fewer than three heads, or equal scores

    @property
    def told(self) -> str:
        """A line for a user."""
        count = len(self.pairs)
        if self.correlation is None:
            return f'how cheap trainings rank heads is not known yet ({count} trained both ways)'
        trust = 'a weak guide' if self.correlation < 0.5 else 'a guide'
        ranks = f'rank correlation {self.correlation:+.2f} over {count} heads, one seed each'
        return f'cheap trainings are {trust} to the recipe: {ranks}'


def fidelity(trials: Sequence[Trial], checks: Sequence[Check]) -> Fidelity:
    """Compare what both ways of training say of the same heads."""
    from scipy.stats import spearmanr

    dear = {c.key: c.score for c in checks if c.phase == 'pilot' and c.score is not None}
    cheap: dict[str, float] = {}
    for row in (*trials, *(c for c in checks if c.phase == 'reference')):
        if row.key in dear and row.score is not None:
            cheap.setdefault(row.key, row.score)
    pairs = {key: (cheap[key], dear[key]) for key in dear if key in cheap}
    is_known = len(pairs) > 2 and all(len(set(of)) > 1 for of in zip(*pairs.values(), strict=True))
    found = float(spearmanr(*zip(*pairs.values(), strict=True))[0]) if is_known else None
    return Fidelity(pairs, found)
