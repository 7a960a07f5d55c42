# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Trials and checks as Optuna keeps them, and as a plan reads them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from nasiam_mm.study.plan import Check, Round, Trial

# What is noted of a trial, which optuna-dashboard shows beside its score.
KEY, SEED, SOURCE, HEAD, RUN = 'key', 'seed', 'source', 'head', 'run'
PHASE, FAULT, SECONDS, OPTIONS, CORRECT = 'phase', 'fault', 'seconds', 'options', 'correct'
ROUNDS = 'rounds'


def read_trials(study: optuna.Study) -> list[Trial]:
    """Read the trials of a search, less those that were begun again, by number."""
    return [_trial(found) for found in study.get_trials(deepcopy=False) if _counts(found)]


def read_checks(study: optuna.Study) -> list[Check]:
    """Read the checks, less those that were begun again."""
    return [_check(found) for found in study.get_trials(deepcopy=False) if _counts(found)]


def read_rounds(study: optuna.Study) -> list[Round]:
    """Read the comparisons that have begun."""
    rows = study.user_attrs.get(ROUNDS, [])
    return [Round(row['trials'], row['heads'], number) for number, row in enumerate(rows)]


def begin_round(study: optuna.Study, begun: Round) -> None:
    """Note a comparison, whose heads then stay."""
    rows = study.user_attrs.get(ROUNDS, [])
    heads = {key: dict(options) for key, options in begun.heads.items()}
    study.set_user_attr(ROUNDS, [*rows, {'trials': begun.trials, 'heads': heads}])


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


def _counts(found: FrozenTrial) -> bool:
    """Tell whether a trial is none that lost its worker: that one was queued again."""
    return found.state != TrialState.FAIL or FAULT in found.user_attrs


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
