# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Where a study stands, in a line."""

import math
from statistics import fmean, stdev

from nasiam_mm.study.fidelity import fidelity
from nasiam_mm.study.plan import Plan, candidates
from nasiam_mm.study.trainings import STANDARD


def progress_line(plan: Plan) -> str:
    """Say how far a study is, what leads, and about how long the rest takes.

    The interval, of 95 %, is over the seeds of a head that has several, by Student's t.
    """
    study = plan.study
    running = sum(t.state == 'running' for t in (*plan.trials, *plan.checks))
    compared = [c for c in plan.checks if c.phase == 'verify' and c.state == 'complete']
    told = [f'{len(plan.done)} of {study.trials} trials' if study.trials else 'comparison']
    if compared:
        told[0] += f', {len(compared)} training{"s" * (len(compared) != 1)} compared'
    if running:
        told.append(f'{running} running')
    ranked = candidates(plan.trials, plan.checks, study)
    if ranked:
        best = ranked[0]
        told.append(f'best {best.score:.2f}{_interval(best.scores)} ({best.source}, {best.key})')
    standard = [t.score for t in plan.trials if t.key == STANDARD and t.score is not None]
    standard += [c.score for c in plan.checks if c.phase == 'reference' and c.score is not None]
    if standard:
        told.append(f'standard {fmean(standard):.2f}{_interval(tuple(standard))}')
    if study.cheap and (found := fidelity(plan.trials, plan.checks)).correlation is not None:
        told.append(found.told)
    if left := seconds_left(plan):
        told.append(f'about {_duration(left)} left')
    return ', '.join(told)


def seconds_left(plan: Plan) -> float | None:
    """Estimate the seconds that one worker takes for what is left; None before anything is done.

    The comparison is taken to go to its last seed, so that it is at most about that.
    """
    cheap = [t.seconds for t in plan.done if t.seconds]
    dear_phases = ('pilot', 'rerank', 'verify')
    dear = [c.seconds for c in plan.checks if c.phase in dear_phases and c.seconds]
    if not cheap and not dear:
        return None
    trial = fmean(cheap or dear)
    check = fmean(dear) if dear else trial
    trials, checks = _left(plan)
    return trials * trial + checks * check


def trainings_left(plan: Plan) -> tuple[int, int]:
    """Return how many trainings are done, searches by gradient among them, and at most left."""
    first = ('gradient', 'reference')
    before = sum(c.phase in first and c.state == 'complete' for c in plan.checks)
    all_before = len(plan.study.gradient) + bool(plan.study.trials and plan.standard is None)
    done = before + len(plan.done) + _compared(plan)
    return done, max(0, all_before - before) + sum(_left(plan))


def _left(plan: Plan) -> tuple[int, int]:
    """Return how many trials and how many trainings of the comparison are left, at most."""
    study = plan.study
    heads = max(1, len(plan.current.heads)) if study.verify else 0
    checks = study.rerank * study.rerank_seeds + (heads + 1) * study.max_seeds * bool(study.verify)
    return max(0, study.trials - len(plan.done)), max(0, checks - _compared(plan))


def _compared(plan: Plan) -> int:
    return sum(c.phase in ('rerank', 'verify') and c.state == 'complete' for c in plan.checks)


def _interval(scores: tuple[float, ...]) -> str:
    if len(scores) < 2:
        return ' (one seed)'
    from scipy.stats import t  # its import would be the start of every worker

    half = t.isf(0.025, len(scores) - 1) * stdev(scores) / math.sqrt(len(scores))
    return f' ± {half:.2f} ({len(scores)} seeds)'


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return f'{seconds:.0f} s'
    return f'{minutes} min' if minutes < 120 else f'{minutes / 60:.1f} h'
