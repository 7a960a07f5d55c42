# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A budget changes epochs and arithmetic of every recipe, and without one nothing changes."""

import pytest

from benchmarks.papers.budget import Budget, reschedule, restrict
from benchmarks.papers.catalogue import find_table
from benchmarks.papers.edits import fast
from benchmarks.papers.planning import config_changes, plan_table
from benchmarks.papers.spec import Recipe
from tests.reduced import ROOT


def test_without_a_budget_the_table_is_the_same():
    table = find_table('heads', 'demo')
    assert reschedule(table, Budget()) is table
    assert (Budget().flags, Budget().suffix) == ([], '')


def test_a_budget_changes_pretraining_and_search():
    budget = Budget(epochs=20, search_epochs=10, fast=True)
    table = reschedule(find_table('heads', 'paper'), budget)
    runs = plan_table(table, [0], ROOT)
    for name in ('SimSiam standard', 'SimCLR searched', 'BYOL searched', 'MoCo v2 random 1'):
        cfg = runs[name][0].cfg
        assert cfg.train_cfg.max_epochs == 20
        assert cfg.optim_wrapper.type == 'AutocastOptimWrapper'
        assert cfg.model.data_preprocessor.channels_last
    search = runs['BYOL searched'][0].search
    assert search.is_search and search.cfg.train_cfg.max_epochs == 10
    assert search.cfg.optim_wrapper.type == 'AutocastOptimWrapper'
    assert table.notes[-1].startswith("Not the recipes' own budget: --epochs 20 --search-epochs 10")
    assert budget.suffix == '_e20_s10_fast'


def test_each_part_of_a_budget_names_other_runs():
    table = find_table('t1', 'paper')
    budgets = (Budget(), Budget(epochs=20), Budget(search_epochs=10), Budget(fast=True))
    names = [
        {runs[0].digest for runs in plan_table(reschedule(table, b), [0], ROOT).values()}
        for b in budgets
    ]
    assert all(not names[0] & names[n] for n in (1, 3))
    # The standard head has no search.
    assert len(names[0] & names[2]) == 1


def test_a_published_head_has_no_search_to_change():
    plain = find_table('fig5', 'demo')
    table = reschedule(plain, Budget(search_epochs=1))
    for before, after in zip(plain.rows, table.rows, strict=True):
        old, new = (row.recipe.head.search for row in (before, after))
        assert old is new is None or len(new.edits) == len(old.edits) + 1


def test_fast_changes_arithmetic_alone():
    config = 'nasiam/simsiam_r18_search_cifar10'
    assert config_changes(Recipe(config, (fast(),)), ROOT) == {
        'optim_wrapper.type': 'AutocastOptimWrapper',
    }

    def scaled(cfg):
        cfg.optim_wrapper.type = 'AmpOptimWrapper'

    with pytest.raises(ValueError, match='cannot replace AmpOptimWrapper'):
        config_changes(Recipe(config, (scaled, fast())), ROOT)


def test_a_table_is_restricted_to_rows_and_whole_means():
    table = find_table('heads', 'demo')
    draws = [f'SimSiam random {n}' for n in range(1, 6)]
    kept = restrict(table, ['SimSiam searched', *draws])
    assert [row.name for row in kept.rows] == [
        *draws, 'SimSiam random, mean of 5', 'SimSiam searched',
    ]  # fmt: skip
    # The standard head is gone, and with it every comparison with it.
    assert kept.rows[-1].against == ('SimSiam random, mean of 5',)
    assert all(row.against == () for row in kept.rows[:-1])
    few = restrict(table, ['SimSiam searched', *draws[:2]])
    assert [row.name for row in few.rows] == [*draws[:2], 'SimSiam searched']


@pytest.mark.parametrize('name', ['epochs', 'search_epochs'])
def test_a_budget_of_no_epochs_is_refused(name):
    with pytest.raises(ValueError, match=f'{name} must be 1 or more, got 0'):
        Budget(**{name: 0})
