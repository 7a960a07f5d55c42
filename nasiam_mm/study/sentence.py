# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The sentence of a verdict, for a user."""

import math
from typing import TYPE_CHECKING

from nasiam_mm.study.boundary import FIRST_LOOK
from nasiam_mm.study.compared import FORETELLS_FROM, MOST_FORETOLD, Compared

if TYPE_CHECKING:
    from nasiam_mm.study.verdict import Rule, Verdict


def named(name: str) -> str:
    """Return how a candidate is called."""
    return f'the candidate ({name})'


def amount(value: float, unit: str, form: str = 'g') -> str:
    """Return a number with the unit of the scores: ``'1 point'``, ``'1 of rankme'``."""
    told = f'{value:{form}}'
    return f'{told} point' if unit == 'points' and told == '1' else f'{told} {unit}'


def span(row: Compared) -> str:
    """Return the interval of a difference."""
    return f'interval [{row.lower:.2f}, {row.interval[1]:.2f}]'


def sentence_of(verdict: 'Verdict', rule: 'Rule') -> str:
    """Say what a verdict is, on how much it rests, and what would decide where it is open."""
    rows, told = verdict.compared, []
    known = [row for row in rows if not math.isnan(row.mean)]
    # A head that cannot be compared is no best one.
    best = max(known, key=lambda row: row.mean, default=rows[0])
    unit = rule.unit
    if verdict.answer == 'use':
        best = next(row for row in rows if row.name == verdict.head)
        gain = amount(best.mean, unit, '+.2f')
        told.append(f'use {named(best.name)}: {gain} over the standard head, {span(best)}')
        told.append(f'shrunken {amount(best.shrunken, unit, "+.2f")}')
    elif verdict.answer == 'keep':
        told.append(f'keep the standard head: {verdict.reason} (error <= {rule.alpha:.0%})')
        gain = f'{amount(best.mean, unit, "+.2f")}, {span(best)}'
        told.append(f'the best, {named(best.name)}, stands at {gain}')
    elif known and verdict.n < FIRST_LOOK:
        gain = amount(abs(best.mean), unit, '.2f')
        side = 'ahead' if best.mean > 0 else 'behind'
        on = 'one seed' if verdict.n == 1 else f'{verdict.n} seeds'
        told.append(f'{named(best.name)} is {side} by {gain} on {on}; undecided')
    else:
        told += [f'undecided: {verdict.reason}', *_mends(verdict, rule)]
        if not math.isnan(best.lower):
            stands = f'{named(best.name)} stands at {amount(best.mean, unit, "+.2f")}'
            told.append(stands if span(best) in told[0] else f'{stands}, {span(best)}')
    told.append(f'{verdict.n} seed{"s" * (verdict.n != 1)}')
    if verdict.images:
        told.append(f'{verdict.images} images')
    counts = [f'{named(row.name)} {row.collapsed}' for row in rows if row.collapsed]
    if counts or verdict.collapsed:
        counts.append(f'the standard head {verdict.collapsed}')
        told.append(f'collapsed of {verdict.seeds} seeds: {", ".join(counts)}')
    if barred := [row.name for row in rows if row.collapsed > verdict.collapsed]:
        told.append(f'{", ".join(map(named, barred))} not recommended: collapses more often')
    if verdict.trials:
        told.append(f'chosen from {verdict.trials} trials')
    return '; '.join(told)


def _mends(verdict: 'Verdict', rule: 'Rule') -> list[str]:
    """Say what would decide, or why that is not known."""
    told, more = [], verdict.more_seeds
    point = 100 / verdict.images if verdict.images else 0.0
    if point > rule.margin:
        one = amount(round(point, 1), rule.unit)
        told.append(f'{verdict.images} comparison images: one is {one}, more images are needed')
    if more is None:
        return told + _unknown(verdict)
    about = f'about {more} more seed{"s" * (more != 1)} would decide'
    if verdict.seeds + more > rule.max_seeds:
        fresh = f'a new one needs max_seeds={verdict.n + more} from its start'
        about += f', past the {rule.max_seeds} of this study; {fresh}'
    return [*told, about]


def _unknown(verdict: 'Verdict') -> list[str]:
    """Say why it is not known how many more seeds would decide; nothing where no number would."""
    is_judged = any(not math.isnan(row.lower) for row in verdict.compared)
    if not is_judged or verdict.wants_images:
        return []
    if verdict.n < FORETELLS_FROM:
        what = f'{verdict.n} seeds foretell no number of seeds that would decide'
        return [f'{what}; {FORETELLS_FROM} do, by max_seeds={FORETELLS_FROM} or more']
    return [f'not even {MOST_FORETOLD} seeds would decide']
