# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What a study does next: a function of what was done, the same for every worker that asks.

gradient -> reference, pilot -> search -> rerank -> verify, seed by seed -> test -> end
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from nasiam_mm.architecture.kinds.kind import Options
from nasiam_mm.study.gradient import OTHERS, TOP
from nasiam_mm.study.rows import Check, Trial
from nasiam_mm.study.section import Study
from nasiam_mm.study.trainings import STANDARD
from nasiam_mm.study.verdict import Arm, Rule, Verdict, judge, next_seeds

FIRST = 1000  # added to the study's seed: the first of a comparison, which no search has used
_ROUND = 1000  # seeds set aside for the comparison of each round


class Job(NamedTuple):
    """What a worker is to do: a trial where ``phase`` is ``'search'``, else a check.

    With ``again`` it is one that is queued, as its worker is gone.
    """

    phase: str
    key: str = ''
    options: Options | None = None
    seed: int = 0
    again: bool = False


WAIT, END = Job('wait'), Job('end')


class Candidate(NamedTuple):
    """A head that trials have measured."""

    key: str
    options: Options
    score: float
    scores: tuple[float, ...]
    source: str


class Round(NamedTuple):
    """A comparison, fixed when it begins: after how many trials, of which heads, by what rule."""

    trials: int
    heads: Mapping[str, Options]  # key -> options
    number: int = 0
    max_seeds: int = 6
    margin: float = 1.0

    def seed(self, study: Study, nth: int) -> int:
        """Return the n-th seed of the comparison."""
        return study.seed + FIRST + _ROUND * self.number + nth


def candidates(trials: Sequence[Trial], checks: Sequence[Check], study: Study) -> list[Candidate]:
    """Rank the heads that are candidates, the best first, by the mean of their scores.

    Where trials are cheap and a head was ranked again, what it has on the recipe's budget counts,
    and such heads come first.
    """
    heads: dict[str, list[Trial]] = {}
    for trial in trials:
        if trial.state == 'complete' and trial.key != STANDARD:
            heads.setdefault(trial.key, []).append(trial)
    found = []
    for key, of in heads.items():
        again = [c for c in checks if c.phase == 'rerank' and c.key == key]
        if any(training.fault for training in (*of, *again)):
            continue
        first = [t.score for t in of if t.score is not None]
        dear = [c.score for c in again if c.score is not None]
        scores = dear if study.cheap and dear else first + dear
        if scores:
            mean = math.fsum(scores) / len(scores)
            head = Candidate(key, of[0].options, mean, tuple(scores), of[0].source)
            found.append((bool(dear) if study.cheap else True, head))
    return [head for _, head in sorted(found, key=lambda f: (-f[0], -f[1].score, f[1].key))]


class Plan:
    """The state of a study and what follows from it.

    Args:
        study: Its section, dealt out.
        trials: All trials of the search, by number.
        checks: All checks.
        rounds: The comparisons that have begun.
        standard: The standard head as options of the space, None where that does not hold it.
        pilots: Key -> options of heads trained both cheaply and not.
        given: Key -> options of heads that are compared though no trial measured them.
        unit: Of the scores that heads are compared by.
    """

    def __init__(
        self,
        study: Study,
        trials: Sequence[Trial],
        checks: Sequence[Check],
        rounds: Sequence[Round] = (),
        standard: Options | None = None,
        pilots: Mapping[str, Options | None] | None = None,
        given: Mapping[str, Options] | None = None,
        unit: str = 'points',
    ) -> None:
        self.study, self.trials, self.checks, self.rounds = study, trials, checks, rounds
        self.standard, self.pilots, self.given = standard, pilots or {}, given or {}
        self.rule = Rule(max_seeds=study.max_seeds, margin=study.margin, unit=unit)
        fixed = (self.current.max_seeds, self.current.margin)
        if fixed != (study.max_seeds, study.margin):
            what = 'the comparison after {} trials has begun with max_seeds {} and margin {:g}'
            mend = 'leave them so, raise --trials, or take another --study'
            raise ValueError(f'{what.format(study.trials, *fixed)}; {mend}')

    def next(self) -> Job:
        """Return the next job: ``WAIT`` where others are at all there is, ``END`` at the end."""
        for check in self.checks:
            if check.state == 'waiting':
                return Job(check.phase, check.key, None, check.seed, again=True)
        for number in range(len(self.study.gradient)):
            if not self._check('gradient', str(number)):
                return Job('gradient', str(number))
        if self.study.trials and self.standard is None and not self._check('reference', STANDARD):
            return Job('reference', STANDARD, None, self.study.seed)
        for key, options in self.pilots.items():
            if not self._check('pilot', key):
                return Job('pilot', key, options, self.study.seed)
        if self.taken_up + self._awaited < self.study.trials:
            return Job('search')
        if self._is_busy(self.trials, 'gradient', 'reference', 'pilot'):
            return WAIT
        for head in candidates(self.trials, (), self.study)[: self.study.rerank]:
            for nth in range(self.study.rerank_seeds):
                seed = self.study.seed + FIRST // 2 + nth
                if not self._check('rerank', head.key, seed):
                    return Job('rerank', head.key, head.options, seed)
        if self._is_busy((), 'rerank'):
            return WAIT
        return self._verify()

    def _verify(self) -> Job:
        if not self.study.verify or not self.current.heads:
            return END
        arms = {STANDARD: None, **self.current.heads}
        begun = [s for s in self._seeds if any(self._check('verify', key, s) for key in arms)]
        more = 0 if len(self._judged) < len(begun) else self._more()
        for seed in (*begun, *self._seeds[len(begun) : len(begun) + more]):
            for key, options in arms.items():
                if not self._check('verify', key, seed):
                    return Job('verify', key, options, seed)
        if len(self._judged) < len(begun):
            return WAIT
        for key, seed in self.tested():
            if not self._check('test', key, seed):
                return Job('test', key, self.current.heads.get(key), seed)
        return WAIT if self._is_busy((), 'test') else END

    @property
    def _seeds(self) -> list[int]:
        return [self.current.seed(self.study, nth) for nth in range(self.rule.max_seeds)]

    @property
    def _judged(self) -> list[int]:
        """Seeds of the comparison on which all of its heads have ended."""
        keys = [STANDARD, *self.current.heads]
        ended = {(c.key, c.seed) for c in self.checks if c.phase == 'verify' and _ended(c)}
        return [seed for seed in self._seeds if all((key, seed) in ended for key in keys)]

    def _more(self) -> int:
        return next_seeds(self.verdict() if self._judged else None, self.rule)

    @property
    def done(self) -> list[Trial]:
        """Trials that have ended, stopped early or not."""
        return [t for t in self.trials if t.state in ('complete', 'pruned')]

    @property
    def taken_up(self) -> int:
        """Trials that have ended or that a worker is at."""
        return len(self.done) + sum(trial.state == 'running' for trial in self.trials)

    @property
    def _awaited(self) -> int:
        """Places kept for what searches by gradient are about to find."""
        running = [int(c.key) for c in self._check('gradient', None) if c.state == 'running']
        return sum(OTHERS + self.study.gradient[n].get('top', TOP) for n in running)

    @property
    def current(self) -> Round:
        """The comparison of this many trials: as it began, or as it would begin now."""
        for begun in self.rounds:
            if begun.trials == self.study.trials:
                return begun
        ranked = candidates(self.trials, self.checks, self.study)
        heads = {head.key: head.options for head in ranked}
        if not self.study.trials:
            heads = {key: o for key, o in self.given.items() if key != STANDARD}
        best = dict(list(heads.items())[: self.study.verify])
        fixed = self.study.max_seeds, self.study.margin
        return Round(self.study.trials, best, len(self.rounds), *fixed)

    def arms(self) -> tuple[Arm, list[Arm]]:
        """Return the standard head and the others, on the seeds on which all have ended."""
        seeds = self._judged

        def arm(key: str) -> Arm:
            of = [c for c in self.checks if (c.phase, c.key) == ('verify', key) and c.seed in seeds]
            faulty = {c.seed for c in of if c.fault}
            fine = {c.seed: c for c in of if c.seed not in faulty and c.state == 'complete'}
            scores = {seed: math.nan if c.score is None else c.score for seed, c in fine.items()}
            correct = {seed: c.correct for seed, c in fine.items() if c.correct is not None}
            return Arm(key, scores, correct if len(correct) == len(fine) else None, faulty)

        return arm(STANDARD), [arm(key) for key in self.current.heads]

    def verdict(self) -> Verdict:
        """Judge by the seeds on which all heads of the comparison have ended."""
        used = {trial.seed for trial in self.trials}
        standard, others = self.arms()
        return judge(standard, others, self.rule, trials=len(self.done), used_seeds=used)

    def tested(self) -> list[tuple[str, int]]:
        """Return the trainings whose test images are read: what was decided on, and the standard.

        Where nothing is to be used, the first candidate is the other one.
        """
        chosen = self.verdict().head or next(iter(self.current.heads))
        arms = {arm.name: arm for arm in (self.arms()[0], *self.arms()[1])}
        return [(key, seed) for key in (STANDARD, chosen) for seed in sorted(arms[key].scores)]

    def _check(self, phase: str, key: str | None, seed: int | None = None) -> list[Check]:
        """Return the checks of a kind that were taken up and not given up."""
        found = [c for c in self.checks if c.phase == phase and key in (None, c.key)]
        return [c for c in found if seed in (None, c.seed)]

    def _is_busy(self, trials: Sequence[Trial], *phases: str) -> bool:
        checks = [check for check in self.checks if check.phase in phases]
        return any(training.state == 'running' for training in (*trials, *checks))


def _ended(check: Check) -> bool:
    return check.state == 'complete' or bool(check.fault)
