# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Pruners: which epochs they stop at, Hyperband's brackets as samplers see them, refusals."""

import optuna
import pytest
from optuna.pruners import NopPruner
from optuna.trial import TrialState

from nasiam_mm.study.pruners import PRUNERS, build_pruner
from nasiam_mm.study.samplers import HeadSampler, build_sampler
from tests.test_study.landscapes import SPACE, Additive


def trained(trial, score, epochs):
    """Report a curve that ends at a score; the epoch it was stopped at, 0 if at none."""
    for epoch in range(1, epochs + 1):
        trial.report(score * epoch / epochs, epoch)
        if epoch < epochs and trial.should_prune():
            return epoch
    return 0


def run(config, scores, epochs=9, sampler='Random'):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study, stopped = optuna.create_study(direction='maximize', study_name='s'), []
    for number, score in enumerate(scores):
        study.sampler = build_sampler(dict(type=sampler), SPACE, number)
        study.pruner = build_pruner(config, epochs)  # a new one, as a new process has
        trial = study.ask(SPACE)
        value = score(trial.params) if callable(score) else score
        stopped.append(trained(trial, value, epochs))
        if stopped[-1]:
            study.tell(trial, state=TrialState.PRUNED)
        else:
            study.tell(trial, value)
    return study, stopped


def test_none_stops_none():
    assert isinstance(build_pruner(None, 5), NopPruner)
    assert run(None, [5, 4, 3, 2, 1])[1] == [0] * 5


def test_median():
    # Three to begin with, of 10, 20, 30: below 20 is stopped, at the warm-up's end.
    config = dict(type='Median', startup=3, warmup=4)
    assert run(config, [10, 20, 30, 19, 21])[1] == [0, 0, 0, 4, 0]


@pytest.mark.parametrize(('eta', 'first', 'at'), [(3, 1, 1), (3, 2, 2), (2, 4, 4)])
def test_successive_halving_stops_at_its_rungs(eta, first, at):
    config = dict(type='SuccessiveHalving', eta=eta, min_resource=first)
    _, stopped = run(config, [30, 29, 28, 40, 27])
    assert stopped == [0, at, at, 0, at]


def test_a_better_one_goes_on_to_the_next_rung():
    # Ahead of the first at epoch 1, beaten by it at 3.
    sampler = build_sampler(dict(type='Random'), SPACE, 0)
    pruner = build_pruner(dict(type='SuccessiveHalving'), 9)
    study = optuna.create_study(direction='maximize', pruner=pruner, sampler=sampler)
    first, second = study.ask(SPACE), study.ask(SPACE)
    assert trained(first, 9.0, 9) == 0
    second.report(5.0, 1)
    assert not second.should_prune()
    second.report(2.0, 3)
    assert second.should_prune()


class Watching(HeadSampler):
    def propose(self, measured, running, rng):
        self.seen = [trial.number for trial in measured]
        return self.draw(rng)


def test_samplers_see_the_trials_of_their_bracket():
    study, _ = run(dict(type='Hyperband'), [Additive(0)] * 40)
    pruner = build_pruner(dict(type='Hyperband'), 9)
    brackets = [pruner._get_bracket_id(study, trial) for trial in study.trials]
    assert set(brackets) == {0, 1, 2}
    study.pruner, study.sampler = pruner, Watching(SPACE, 0)
    trial = study.ask(SPACE)
    mine = pruner._get_bracket_id(study, study.trials[trial.number])
    assert study.sampler.seen == [n for n, bracket in enumerate(brackets) if bracket == mine]


@pytest.mark.parametrize('sampler', ['TPE', 'Evolution', 'Comparator'])
def test_samplers_search_under_hyperband(sampler):
    study, stopped = run(dict(type='Hyperband', eta=3), [Additive(1)] * 45, 9, sampler)
    assert len(study.trials) == 45 and {1, 3} <= set(stopped)
    done = [t for t in study.trials if t.state == TrialState.COMPLETE]
    pruned = [t for t in study.trials if t.state == TrialState.PRUNED]
    assert done and pruned
    # A sampler that was not reached by what brackets hide would draw as Random does.
    random, _ = run(dict(type='Hyperband', eta=3), [Additive(1)] * 45, 9, 'Random')
    assert [t.params for t in random.trials[30:]] != [t.params for t in study.trials[30:]]


@pytest.mark.parametrize(
    ('config', 'says'),
    [
        (dict(type='Asha'), "there is no pruner 'Asha'; take one of Hyperband, Median, Succ"),
        (['Median'], 'study.pruner must be a dict with a type'),
        (dict(type='Hyperband', etta=2), 'study.pruner.etta is no setting of Hyperband; .*eta'),
        (dict(type='Hyperband', max_epochs=2), 'study.pruner.max_epochs is no setting'),
        (dict(type='Hyperband', eta=1), 'Hyperband.eta must be a whole number from 2'),
        (dict(type='Hyperband', min_resource=10), 'Hyperband.min_resource .* from 1 to 9'),
        (dict(type='SuccessiveHalving', min_resource=0), 'SuccessiveHalving.min_resource'),
        (dict(type='Median', warmup=12), 'Median.warmup must be a whole number from 1 to 9'),
        (dict(type='Median', startup=0.5), 'Median.startup must be a whole number'),
    ],
)
def test_bad_settings_are_refused(config, says):
    with pytest.raises(ValueError, match=says):
        build_pruner(config, 9)


def test_registered():
    assert {'Hyperband', 'Median', 'SuccessiveHalving'} <= {*PRUNERS.module_dict}
