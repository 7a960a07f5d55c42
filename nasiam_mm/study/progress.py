# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Where a study stands, and what came of a training of it, in a line."""

import math
from statistics import fmean, stdev

from nasiam_mm.console.terms import duration
from nasiam_mm.study.fidelity import fidelity
from nasiam_mm.study.plan import Job, Plan, candidates
from nasiam_mm.study.rows import Training
from nasiam_mm.study.trainings import STANDARD
from nasiam_mm.wording import counted

_NAMES = {
    'gradient': 'search by gradient',
    'reference': 'standard head',
    'pilot': 'training of the pilot',
    'rerank': 'second look',
    'verify': 'comparison',
    'test': 'test images',
}


def training_name(plan: Plan, phase: str, key: str = '', seed: int = 0, place: int = 0) -> str:
    """Name a training in a few words; of a trial ``place`` is its number among them, from 1."""
    name = _NAMES.get(phase, 'trial')
    if phase == 'search':
        return f'trial {place}/{plan.study.trials}'
    if phase == 'gradient':
        return f'{name} {int(key) + 1}/{len(plan.study.gradient)}'
    return name if phase == 'reference' else f'{name} {key}, seed {seed}'


def place_of(plan: Plan, number: int) -> int:
    """Return the number of a trial among those that count, from 1."""
    numbers = [trial.number for trial in plan.trials]
    return numbers.index(number) + 1 if number in numbers else len(numbers) + 1


def ended_line(plan: Plan, job: Job, number: int, key: str, seed: int) -> str:
    """Say in a line what came of a training that has ended; '' of the test images.

    Args:
        plan: Where the study stands with it.
        job: What it was.
        number: Of its trial.
        key: Of its head.
        seed: Of its run.
    """
    found: Training | None
    if job.phase == 'test':
        return ''
    if job.phase == 'search':
        trial = next((t for t in plan.trials if t.number == number), None)
        found, of = trial, f' ({trial.source}, {key})' if trial else ''
    else:
        ended = [c for c in plan.checks if (c.phase, c.key, c.seed) == (job.phase, key, seed)]
        found, of = next(iter(ended), None), ''
    if found is None:
        return ''
    name = training_name(plan, job.phase, key, seed, place_of(plan, number))
    if found.fault:
        told = found.fault
    elif found.score is None:
        told = 'stopped early' if found.state == 'pruned' else 'no score'
    elif job.phase == 'gradient':
        told = f'{counted(int(found.score), "head")} found'
    else:
        told = f'{found.score:.2f}'
    # What has a score has its seconds, be they too few to be told.
    is_timed = found.seconds or found.score is not None
    took = f' in {duration(found.seconds)}' if is_timed else ''
    return f'{name}{of}: {told}{took}'


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
    if left := seconds_left(plan, running + 1):  # who says so goes on as well
        told.append(f'about {_duration(left)} left')
    return ', '.join(told)


def seconds_left(plan: Plan, workers: int = 1, begun: float = 0.0) -> float | None:
    """Estimate the seconds that workers take for what is left; None before anything is done.

    The comparison is taken to go to its last seed, so that it is at most about that.

    Args:
        plan: Where the study stands.
        workers: How many there are.
        begun: How much of the trainings that run is done, 1 for a whole one.
    """
    cheap = [t.seconds for t in plan.done if t.seconds]
    dear_phases = ('pilot', 'rerank', 'verify')
    dear = [c.seconds for c in plan.checks if c.phase in dear_phases and c.seconds]
    if not cheap and not dear:
        return None
    trial = fmean(cheap or dear)
    check = fmean(dear) if dear else trial
    trials, checks = _left(plan)
    begun_seconds = begun * (trial if trials else check)
    return max(0.0, trials * trial + checks * check - begun_seconds) / workers


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
        return 'kNN' if objective == 'knn' else objective
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
