# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""All samplers: what they use of trials, the same from everywhere, refusals."""

import json
import os
import subprocess
import sys

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState, create_trial

from nasiam_mm.study.samplers import SAMPLERS, HeadSampler, build_sampler
from nasiam_mm.study.samplers.sampler import decided, rank_of
from tests.reduced import ROOT
from tests.test_study.landscapes import OPTIONS, SPACE, Additive, searched

ALL = ['Random', 'TPE', 'Evolution', 'Comparator']
HEAD = {name: options[0] for name, options in OPTIONS.items()}


def fixed_study(trials=24):
    """Return a study of trials of every state that a sampler may meet."""
    study, rng, score = optuna.create_study(direction='maximize'), np.random.default_rng(4), None
    score = Additive(3)
    for number in range(trials):
        head = {name: options[rng.integers(len(options))] for name, options in OPTIONS.items()}
        given = dict(params=head, distributions=SPACE)
        if number % 8 == 5:
            given |= dict(state=TrialState.PRUNED, intermediate_values={1: 20.0, 2: score(head)})
        elif number % 8 == 6:
            given |= dict(state=TrialState.FAIL)
        elif number % 8 == 7:
            given |= dict(state=TrialState.RUNNING)
        else:
            given |= dict(value=score(head))
            given |= dict(constraints={'seconds': 1.0}) if number % 8 == 4 else {}
        study.add_trial(create_trial(**given))
    return study


def suggested():
    """Return what each sampler proposes for that study, by seed."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    found = {}
    for kind in ALL:
        for seed in range(3):
            study = fixed_study()
            study.sampler = build_sampler(dict(type=kind), SPACE, seed)
            found[f'{kind} {seed}'] = study.ask(SPACE).params
    return found


def test_the_same_study_and_seed_give_the_same_head_in_any_process():
    here = suggested()
    assert suggested() == here
    code = 'import json; from tests.test_study.test_samplers import suggested as s'
    environment = {**os.environ, 'PYTHONHASHSEED': '77', 'PYTHONPATH': str(ROOT)}
    command = [sys.executable, '-c', f'{code}; print(json.dumps(s()))']
    there = subprocess.run(
        command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True
    )
    assert json.loads(there.stdout.splitlines()[-1]) == here
    for kind in ALL:
        assert len({str(decided(here[f'{kind} {seed}'])) for seed in range(3)}) > 1


@pytest.mark.parametrize('kind', ALL[1:])
def test_infeasible_trials_are_learned_from(kind):
    class Deep(Additive):
        def true(self, head):
            return super().true(head) + 5 * head['projector.depth']

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    landscape, study = Deep(1), optuna.create_study(direction='maximize')
    for number in range(45):
        study.sampler = build_sampler(dict(type=kind), SPACE, number)
        trial = study.ask(SPACE)
        trial.set_constraint('parameters', trial.params['projector.depth'] - 3.5)
        study.tell(trial, landscape(trial.params))
    depths = [t.params['projector.depth'] for t in study.trials[20:]]
    # The best that is feasible, though 4 scores higher.
    assert depths.count(3) > depths.count(4) and depths.count(3) >= 10


class Watching(HeadSampler):
    def propose(self, measured, running, rng):
        self.seen = measured, running
        return self.draw(rng)


def test_what_a_sampler_sees_of_trials():
    study = fixed_study()
    study.sampler = Watching(SPACE, 0)
    study.ask(SPACE)
    measured, running = study.sampler.seen
    by_number = {trial.number: trial for trial in study.trials}
    assert [m.number for m in measured] == [n for n in range(24) if n % 8 < 6]
    assert [decided(head) for head in running] == [
        decided(by_number[n].params) for n in range(24) if n % 8 == 7
    ]
    ranks = {m.number: m.rank for m in measured}
    complete = [ranks[n] for n in ranks if n % 8 < 4]
    assert min(complete) > max(ranks[n] for n in ranks if n % 8 == 5)
    assert min(ranks[n] for n in ranks if n % 8 == 5) > max(ranks[n] for n in ranks if n % 8 == 4)
    assert ranks[5] == (1, 2, by_number[5].intermediate_values[2])
    assert max(complete) == (2, 0, max(by_number[n].value for n in ranks if n % 8 < 4))


def test_ranks():
    def rank(values, **more):
        given = dict(state=TrialState.PRUNED, intermediate_values=values, **more)
        return rank_of(create_trial(**given))

    nan = float('nan')
    rows = [rank({}, constraints={'a': 2.0, 'b': -9.0}), rank({}, constraints={'a': 1.0}),
            rank({}), rank({1: nan}), rank({1: 5.0}), rank({1: 9.0}), rank({1: 1.0, 3: 2.0}),
            rank_of(create_trial(value=-3.0)), rank_of(create_trial(value=4.0))]  # fmt: skip
    assert rows == sorted(rows) and len(set(rows)) == len(rows)


def test_what_a_trial_did_not_ask_for_is_the_first_option():
    study = optuna.create_study(direction='maximize')
    some = {'projector.depth': 1, 'temperature': 0.2}
    study.add_trial(
        create_trial(params=some, distributions={name: SPACE[name] for name in some}, value=1.0)
    )
    other = {'another': optuna.distributions.CategoricalDistribution([1])}
    study.add_trial(create_trial(params={'another': 1}, distributions=other, value=2.0))
    study.sampler = Watching(SPACE, 0)
    study.ask(SPACE)
    [only] = study.sampler.seen[0]
    assert only.head == {**HEAD, **some}
    trial = study.ask()
    assert trial.suggest_categorical('a new one', [1, 2]) in (1, 2)
    with pytest.raises(ValueError, match='must be categorical'):
        trial.suggest_float('x', 0, 1)


def test_registered_and_named():
    assert {*ALL} <= {*SAMPLERS.module_dict}
    assert len(searched(dict(type='Random'), Additive(0), 3, 0).trials) == 3


@pytest.mark.parametrize(
    ('config', 'says'),
    [
        (dict(type='Tpe'), "is no sampler 'Tpe'; take one of Comparator, Evolution, .*Random, TPE"),
        ('TPE', 'study.sampler must be a dict with a type'),
        (dict(type='TPE', starup=3), 'study.sampler.starup is no setting of TPE; .*mean startup'),
        (dict(type='TPE', seed=3), 'study.sampler.seed is no setting of TPE'),
        (dict(type='Random', x=1), 'study.sampler.x is no setting of Random; it takes none'),
        (dict(type='TPE', startup=0), 'TPE.startup must be a whole number from 1'),
        (dict(type='TPE', group=1), 'TPE.group must be True or False'),
        (dict(type='Evolution', population=1), 'Evolution.population must be a whole number'),
        (dict(type='Evolution', tournament=13), 'Evolution.tournament must be .* from 1 to 12'),
        (dict(type='Comparator', l2=0), 'Comparator.l2 must be a number'),
        (dict(type='Comparator', draws=True), 'Comparator.draws must be a whole number'),
    ],
)
def test_bad_settings_are_refused(config, says):
    with pytest.raises(ValueError, match=says):
        build_sampler(config, SPACE, 0)


def test_bad_seeds_and_spaces_are_refused():
    with pytest.raises(ValueError, match='the seed of a sampler'):
        build_sampler(dict(type='TPE'), SPACE, -1)
    with pytest.raises(ValueError, match='the space has no choice'):
        build_sampler(dict(type='TPE'), {}, 1)
