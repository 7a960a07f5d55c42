# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The verdict of a study: use a head found, keep the standard one, or undecided.

Heads are paired by seed, as the same seed starts the same backbone (contract C16). After each seed
from the third one a paired t-test is looked at, with a limit that holds over all looks and
candidates (:mod:`nasiam_mm.study.boundary`). A head is used where its difference from the standard
head is above 0; the standard is kept where the difference of every candidate is below the margin
(intersection-union test: Berger, Technometrics 24, 1982).
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from nasiam_mm.study.boundary import FIRST_LOOK, check_looks, critical_p
from nasiam_mm.study.compared import Compared, Limits, compare, more_seeds, wants_images
from nasiam_mm.study.differences import Arm, check_arms, difference
from nasiam_mm.study.sentence import amount, named, sentence_of, span

__all__ = ['Arm', 'Compared', 'Rule', 'Verdict', 'judge', 'next_seeds']


@dataclass(frozen=True)
class Rule:
    """What is fixed before the first seed is run.

    Attributes:
        max_seeds: Seeds at most, those that collapse among them.
        margin: Gain that would matter, in the unit of the scores.
        unit: Of the scores, as the sentence has it.
        alpha: Chance of a wrong 'use', and of a wrong 'keep', over all looks.

    Raises:
        ValueError: If one of these is not usable.
    """

    max_seeds: int = 6
    margin: float = 1.0
    alpha: float = 0.05
    unit: str = 'points'

    def __post_init__(self) -> None:
        check_looks(self.max_seeds, 1, self.alpha)
        is_number = isinstance(self.margin, (int, float)) and not isinstance(self.margin, bool)
        if not is_number or not 0 < self.margin <= 100:
            what = 'margin must be a number of points above 0, at most 100'
            raise ValueError(f'{what}, got {self.margin!r:.60}')


@dataclass(frozen=True)
class Verdict:
    """What a study answers.

    Attributes:
        answer: ``'use'``, ``'keep'`` or ``'undecided'``.
        head: The candidate to use; None unless that is the answer.
        compared: All candidates, in the order given.
        more_seeds: About how many more would decide; None where that is not known.
        reason: Why, a clause.
        sentence: A line for a user.
        seeds: Seeds that were run.
        n: Seeds that count: no head collapsed on them.
        collapsed: Seeds on which the standard head collapsed.
        images: How many the spread over images is known from; None: the verdict covers seeds alone.
        trials: Trials of the search that chose the candidates.
        goes_on: Whether another seed may decide.
        wants_images: Whether no number of seeds would decide, and images would.
    """

    answer: str
    head: str | None
    compared: tuple[Compared, ...]
    more_seeds: int | None
    reason: str
    sentence: str
    seeds: int
    n: int
    collapsed: int
    images: int | None
    trials: int
    goes_on: bool
    wants_images: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return all of it for JSON, without NaN or infinity."""
        return _plain(asdict(self))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def judge(
    standard: Arm,
    candidates: Sequence[Arm],
    rule: Rule,
    trials: int = 0,
    used_seeds: Collection[int] = (),
) -> Verdict:
    """Judge the candidates by what has been run so far; to be called after each seed.

    A seed on which any head collapsed is left out for all; a candidate that collapses more often
    than the standard head is not recommended. With correctness per image the spread over images
    counts too: give images that the search did not use.

    Args:
        standard: The standard head, trained beside the candidates.
        candidates: Those to verify, fixed before the first seed.
        rule: What was fixed before the first seed.
        trials: Trials of the search, to be told.
        used_seeds: Those of the search; a score that chose a head does not judge it.

    Raises:
        ValueError: For heads that were not run on the same seeds, more seeds than the rule has, or
            input that is not usable.
    """
    arms = [standard, *candidates]
    check_arms(standard, candidates)
    ran = sorted(standard.seeds)
    if len(ran) > rule.max_seeds:
        what = f'{len(ran)} seeds were run, the rule was fixed for {rule.max_seeds} at most'
        raise ValueError(f'{what}; a larger max_seeds is of a new study, with fresh seeds')
    lost = {seed for arm in arms for seed in arm.collapsed}
    seeds = [seed for seed in ran if seed not in lost]
    falls = len({*standard.collapsed})
    rows = [Compared(arm.name, len(seeds), len({*arm.collapsed})) for arm in candidates]
    barred = [row.name for row in rows if row.collapsed > falls]
    open_ = Verdict(
        'undecided', None, tuple(rows), None, '', '',
        len(ran), len(seeds), falls, None, trials, len(ran) < rule.max_seeds,
    )  # fmt: skip

    if again := sorted({*ran} & {*used_seeds}):
        why = f'seed {again[0]} was used in the search; verify with fresh seeds'
        return _told(replace(open_, reason=why, goes_on=False), rule)
    broken = [(a.name, s) for a in arms for s in seeds if not math.isfinite(a.scores[s])]
    if broken:
        who = 'the standard head' if broken[0][0] == standard.name else named(broken[0][0])
        why = f'the score of {who} on seed {broken[0][1]} is not finite'
        return _told(replace(open_, reason=why, goes_on=False), rule)
    if len(seeds) < FIRST_LOOK:
        if seeds:
            gains = [[a.scores[s] - standard.scores[s] for s in seeds] for a in candidates]
            rows = [replace(r, mean=float(np.mean(g))) for r, g in zip(rows, gains, strict=True)]
        few = 'one seed' if len(seeds) == 1 else f'{len(seeds)} seeds'
        why = f'{few} of the {FIRST_LOOK} that a verdict takes'
        return _told(replace(open_, compared=tuple(rows), reason=why), rule)

    found = [difference(standard, arm, seeds) for arm in candidates]
    images = found[0].images if all(d.images for d in found) else None
    if flat := [row.name for row, d in zip(rows, found, strict=True) if d.is_flat]:
        same = f'differs by the same on all {len(seeds)} seeds'
        why = f'{named(flat[0])} {same}: their spread is unknown'
        rows = [replace(r, mean=d.mean) for r, d in zip(rows, found, strict=True)]
        return _told(replace(open_, compared=tuple(rows), reason=why, images=images), rule)
    limits = Limits(
        critical_p(rule.max_seeds, len(candidates), rule.alpha),
        critical_p(rule.max_seeds, 1, rule.alpha), rule.margin, rule.max_seeds,
    )  # fmt: skip
    pairs = zip(rows, found, strict=True)
    rows = [compare(row.name, d, limits, row.collapsed) for row, d in pairs]
    open_ = replace(open_, compared=tuple(rows), images=images)
    return _told(_decided(open_, found, limits, rule, barred), rule)


def _decided(
    verdict: Verdict,
    found: Sequence[Any],
    limits: Limits,
    rule: Rule,
    barred: Collection[str],
) -> Verdict:
    """Decide by the differences of three seeds or more."""
    rows = verdict.compared
    allowed = [row.name not in barred for row in rows]
    # With p below the limit the lower bound is above 0, but for the last digit.
    ahead = [r for r, may in zip(rows, allowed, strict=True) if may and r.p <= limits.use]
    ahead = [row for row in ahead if row.lower > 0]
    if ahead:
        best = max(ahead, key=lambda row: row.mean)
        why = f'p {best.p:.2g} <= {limits.use:.2g}'
        return replace(verdict, answer='use', head=best.name, reason=why, goes_on=False)
    if all(row.p_margin <= limits.keep for row in rows):
        why = f'no tested candidate is {amount(rule.margin, rule.unit)} better'
        return replace(verdict, answer='keep', reason=why, goes_on=False)
    if wants_images(found, allowed, limits):
        why = 'more seeds cannot decide; more images can'
        return replace(verdict, reason=why, goes_on=False, wants_images=True)
    best = max((row for row in rows if not row.p_margin <= limits.keep), key=lambda row: row.mean)
    both = f'holds both 0 and {amount(rule.margin, rule.unit)}'
    why = f'{span(best)} of {named(best.name)} {both}'
    if best.name in barred:
        why = f'{named(best.name)} collapses more often than the standard head'
    return replace(verdict, reason=why, more_seeds=more_seeds(found, allowed, limits))


def next_seeds(verdict: Verdict | None, rule: Rule) -> int:
    """Return how many seeds to run next, all heads on each: 0 where the study is at its end.

    Three before anything is judged (``None``), then one at a time.
    """
    if verdict is None:
        return FIRST_LOOK
    if not verdict.goes_on:
        return 0
    return min(max(FIRST_LOOK - verdict.n, 1), rule.max_seeds - verdict.seeds)


def _told(verdict: Verdict, rule: Rule) -> Verdict:
    return replace(verdict, sentence=sentence_of(verdict, rule))
