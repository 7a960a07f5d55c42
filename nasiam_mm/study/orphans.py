# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Trials whose workers are gone: each is queued again as it was when it had just begun."""

from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from nasiam_mm.study import trials as notes

RETRIES = 20  # of one trial whose workers die
_FIXED = 'fixed_params'  # Optuna's name for what a trial was queued with


def begin_again(study: optuna.Study, trial: FrozenTrial) -> None:
    """Queue a trial anew, then end it; alone, so that no other worker does so too.

    What was found of it meanwhile is found again: noted once more it could not be, as a constraint
    of Optuna stays as it was set. One that had not begun is not queued, as the next that is asked
    for is the same; one whose workers have died too often is a failed one.
    """
    if trial.number not in notes.replaced(study.get_trials(deepcopy=False)):
        history = [*trial.system_attrs.get(notes.HISTORY, ()), trial.number]
        if len(history) > RETRIES:
            told = f'failed: {len(history)} workers have died at it'
            study._storage.set_trial_user_attr(trial._trial_id, notes.FAULT, told)
        elif notes.has_begun(trial.user_attrs) or _FIXED in trial.system_attrs:
            params = trial.params if notes.has_begun(trial.user_attrs) else {}
            kept: dict[str, Any] = {notes.HISTORY: history}
            if _FIXED in trial.system_attrs:
                kept[_FIXED] = trial.system_attrs[_FIXED]
            again = create_trial(
                state=TrialState.WAITING,
                params=params,
                distributions={name: trial.distributions[name] for name in params},
                user_attrs={k: v for k, v in trial.user_attrs.items() if k in notes.OF_A_JOB},
                system_attrs=kept,
            )
            study.add_trial(again)
    # If its worker was silent and has just ended it, that counts for nothing: it was replaced.
    study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
