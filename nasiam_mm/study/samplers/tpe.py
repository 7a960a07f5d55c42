# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011), as Optuna has it."""

import warnings

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import TPESampler

from nasiam_mm.study.samplers.sampler import SAMPLERS, Space
from nasiam_mm.study.settings import whole, yes_or_no


@SAMPLERS.register_module(name='TPE')
def tpe(
    space: Space, seed: int, startup: int = 10, candidates: int = 24, group: bool = False
) -> TPESampler:
    """Optuna's TPE over all choices jointly (Falkner et al., ICML 2018, section 3.2).

    Trials that failed count for nothing, running ones as bad (constant liar), pruned ones below all
    complete ones and by their last value, infeasible ones (``trial.set_constraint``) below these.

    Args:
        space: What there is to choose from.
        seed: Of the trial.
        startup: Trials drawn at random first.
        candidates: Heads of which the best by the model is taken.
        group: Models the choices that trials have in common apart, for trials that ask for those
            that count alone. A study's ask for all, where it changes nothing.
    """
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', ExperimentalWarning)  # of group
        return TPESampler(
            n_startup_trials=whole('TPE', 'startup', startup, 1),
            n_ei_candidates=whole('TPE', 'candidates', candidates, 1, 10_000),
            multivariate=True,
            group=yes_or_no('TPE', 'group', group),
            constant_liar=True,
            seed=seed,
        )
