# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Trials and checks as Optuna keeps them, and as a plan reads them."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from nasiam_mm.study.plan import Round
from nasiam_mm.study.rows import Check, Trial

# What is noted of a trial, which optuna-dashboard shows beside its score.
KEY, SEED, SOURCE, HEAD, RUN = 'key', 'seed', 'source', 'head', 'run'
PHASE, FAULT, SECONDS, OPTIONS, CORRECT = 'phase', 'fault', 'seconds', 'options', 'correct'
ROUNDS = 'rounds'
# What a job is, and not what came of it; the last of them to be noted is SEED.
OF_A_JOB = (KEY, SOURCE, HEAD, PHASE, OPTIONS, SEED)
HISTORY = 'retry_history'  # Optuna's name: numbers of the trials that one is in place of


def read_trials(study: optuna.Study) -> list[Trial]:
    """Read the trials of a search, less those that were begun again, by number."""
    return [_trial(found) for found in _counting(study)]


def read_checks(study: optuna.Study) -> list[Check]:
    """Read the checks, less those that were begun again."""
    return [_check(found) for found in _counting(study)]


def note(trial: optuna.Trial, job: Mapping[str, Any]) -> None:
    """Note what a job is; a worker that dies at that has left one that has not begun."""
    for name in OF_A_JOB:
        if name in job:
            trial.set_user_attr(name, job[name])


def has_begun(attrs: Mapping[str, Any]) -> bool:
    """Tell whether all of a job was noted."""
    return SEED in attrs


def replaced(trials: Iterable[FrozenTrial]) -> set[int]:
    """Return the numbers of those in whose place another was queued."""
    return {number for trial in trials for number in trial.system_attrs.get(HISTORY, ())}


def read_rounds(study: optuna.Study) -> list[Round]:
    """Read the comparisons that have begun."""
    rows = study.user_attrs.get(ROUNDS, [])
    return [Round(**row, number=number) for number, row in enumerate(rows)]


def begin_round(study: optuna.Study, begun: Round) -> None:
    """Note a comparison, whose heads then stay."""
    rows = study.user_attrs.get(ROUNDS, [])
    heads = {key: dict(options) for key, options in begun.heads.items()}
    fixed = {'max_seeds': begun.max_seeds, 'margin': begun.margin}
    study.set_user_attr(ROUNDS, [*rows, {'trials': begun.trials, 'heads': heads, **fixed}])


def pack(correct: np.ndarray | None) -> str | None:
    """Write flags, (N,), as text."""
    return None if correct is None else f'{len(correct)}:{np.packbits(correct).tobytes().hex()}'


def unpack(text: str | None) -> np.ndarray | None:
    """Read flags, (N,) bool, that :func:`pack` wrote."""
    if text is None:
        return None
    count, _, bits = text.partition(':')
    flags = np.unpackbits(np.frombuffer(bytes.fromhex(bits), np.uint8), count=int(count))
    return flags.astype(bool)


def _counting(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that count: none that lost its worker, which was queued again."""
    found = study.get_trials(deepcopy=False)
    lost = replaced(found)
    fails = {t.number for t in found if t.state == TrialState.FAIL and FAULT not in t.user_attrs}
    return [trial for trial in found if trial.number not in lost | fails]


def _state(found: FrozenTrial) -> str:
    names = {TrialState.COMPLETE: 'complete', TrialState.RUNNING: 'running'}
    return names.get(found.state, 'waiting' if found.state == TrialState.WAITING else 'pruned')


def _common(found: FrozenTrial) -> dict[str, Any]:
    attrs: Mapping[str, Any] = found.user_attrs
    return {
        'key': attrs.get(KEY, ''),
        'seed': attrs.get(SEED, 0),
        'state': _state(found),
        'score': found.value if found.state == TrialState.COMPLETE else None,
        'fault': attrs.get(FAULT, ''),
        'seconds': attrs.get(SECONDS, 0.0),
    }


def _trial(found: FrozenTrial) -> Trial:
    source = found.user_attrs.get(SOURCE, '')
    return Trial(number=found.number, options=dict(found.params), source=source, **_common(found))


def _check(found: FrozenTrial) -> Check:
    attrs = found.user_attrs
    return Check(phase=attrs.get(PHASE, ''), correct=unpack(attrs.get(CORRECT)), **_common(found))
