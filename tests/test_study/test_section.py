# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The study section of a config, and how a budget is dealt out."""

import itertools

import pytest

from nasiam_mm.study.budget import LEAST, split_budget
from nasiam_mm.study.section import Study, read_study


@pytest.mark.parametrize('trainings', [*range(LEAST, 40), 59, 60, 61, 119, 120, 500])
def test_a_budget_is_dealt_out_whole(trainings):
    budget = split_budget(trainings)
    checks = budget.rerank * budget.rerank_seeds + (budget.verify + 1) * budget.max_seeds
    assert budget.trials + checks == trainings
    assert budget.trials >= 2 and budget.max_seeds >= 3


def test_more_budget_is_never_less_search():
    trials = [split_budget(n).trials for n in range(LEAST, 200)]
    ahead = [n for n, (a, b) in enumerate(itertools.pairwise(trials)) if b < a]
    # Where another seed or a second ranking is afforded, and nowhere else.
    assert len(ahead) <= 5
    assert split_budget(60).trials == 38 and split_budget(120).trials == 80


@pytest.mark.parametrize('budget', [0, 7, -3, 8.0, '30', True])
def test_a_budget_too_small_for_a_head_and_its_check_is_refused(budget):
    with pytest.raises(ValueError, match=r'study.budget must be an integer from 8, got .*: the st'):
        read_study(dict(study=dict(budget=budget)))


def test_the_section_is_read_with_its_budget():
    assert read_study({}) == Study()
    study = read_study(dict(study=dict(budget=30, margin=0.5)))
    assert (study.trials, study.max_seeds, study.margin, study.budget) == (18, 6, 0.5, None)


@pytest.mark.parametrize(
    ('settings', 'told'),
    [
        (dict(trails=3), 'study.trails is no setting; did you mean study.trials'),
        (dict(trials=-1), 'study.trials must be an integer from 0, got -1'),
        (dict(trials=True), 'study.trials must be an integer from 0, got True'),
        (dict(max_seeds=2), 'study.max_seeds must be an integer from 3, got 2'),
        (dict(margin=0), 'study.margin must be a number above 0, got 0'),
        (dict(min_rank='2'), "study.min_rank must be a number above 0, got '2'"),
        (dict(limits=dict(flop=1)), 'study.limits.flop is none of parameters, flops, seconds'),
        (dict(limits=dict(flops=-1)), 'study.limits.flops must be above 0, got -1'),
        (dict(gradient=['gdas']), r'study.gradient\[0\] must be a dict'),
        (dict(gradient=[dict(strategy='x', k=1)]), r'study.gradient\[0\].k is no setting'),
        (dict(budget=30, verify=2), 'study.budget deals out study.verify, which is set as well'),
        (dict(trials=0), 'study.trials is 0 and no candidates are given'),
        ([1], r'study must be a dict, got \[1\]'),
    ],
)
def test_what_cannot_be_is_refused_by_name(settings, told):
    with pytest.raises(ValueError, match=told) as error:
        read_study(dict(study=settings))
    assert '\n' not in str(error.value)


def test_none_takes_a_setting_away():
    given = dict.fromkeys(('gradient', 'trials', 'limits', 'cheap', 'sampler', 'budget'))
    assert read_study(dict(study=given)) == Study()
