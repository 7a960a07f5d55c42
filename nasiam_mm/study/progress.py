# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Where a study stands, in a line."""

import math
from statistics import fmean, stdev

from nasiam_mm.study.fidelity import fidelity
from nasiam_mm.study.plan import Job, Plan, candidates
from nasiam_mm.study.trainings import STANDARD


def beginning_line(plan: Plan, job: Job) -> str:
    """Say what begins before or after the trials; '' for what a line of progress tells anyway."""
    study = plan.study
    if job.phase == 'gradient':
        number = int(job.key)
        which = f'{number + 1} of {len(study.gradient)}' if len(study.gradient) > 1 else ''
        told = ', '.join(filter(None, [study.gradient[number]['strategy'], which]))
        return f'search by gradient begins ({told}): the heads it finds are among the candidates'
    if job.phase == 'reference':
        return 'training of the standard head begins, beside the trials'
    if job.phase == 'verify' and not job.again and plan.current not in plan.rounds:
        heads = f'{len(plan.current.heads)} head{"s" * (len(plan.current.heads) != 1)}'
        most = f'at most {_most_compared(plan)} trainings'
        return f'comparison of {heads} with the standard one begins: {most}, on fresh seeds'
    return ''


def progress_line(plan: Plan) -> str:
    """Say how far a study is, what leads, and about how long the rest takes.

    The interval, of 95 %, is over the seeds of a head that has several, by Student's t.
    """
    study = plan.study
    running = sum(t.state == 'running' for t in (*plan.trials, *plan.checks))
    compared = [c for c in plan.checks if c.phase == 'verify' and c.state == 'complete']
    told = [f'{len(plan.done)} of {study.trials} trials' if study.trials else 'comparison']
    if compared:
        told[0] += f', {len(compared)} of at most {_most_compared(plan)} trainings compared'
    if running:
        told.append(f'{running} running')
    ranked = candidates(plan.trials, plan.checks, study)
    if ranked:
        best = ranked[0]
        score = f'{best.score:.2f}{_interval(best.scores)}'
        told.append(f'best {_measure(plan)} {score} ({best.source}, {best.key})')
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


def _most_compared(plan: Plan) -> int:
    return (max(1, len(plan.current.heads)) + 1) * plan.study.max_seeds


def _measure(plan: Plan) -> str:
    """Name what trials are ranked by."""
    objective = plan.study.objective
    if isinstance(objective, str):
        return 'kNN %' if objective == 'knn' else objective
    return str(objective.get('type'))


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
