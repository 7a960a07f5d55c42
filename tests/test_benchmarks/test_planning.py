# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Every table resolves to runs, named by what decides them and by nothing else."""

import pytest

from nasiam_mm.benchmarks.catalogue import TABLES, find_table, select_rows
from nasiam_mm.benchmarks.edits import put
from nasiam_mm.benchmarks.planning import all_jobs, plan_run, plan_table
from nasiam_mm.benchmarks.spec import Head, Recipe, Row, Table
from tests.reduced import ROOT

PAPER_ONLY = {'t3', 't4'}
KINDS = [(name, 'paper') for name in TABLES]
KINDS += [(name, 'demo') for name in TABLES if name not in PAPER_ONLY]
SEARCH, PRETRAIN = (
    f'nasiam/simsiam_r18_{kind}_cifar10_demo' for kind in ('search', 'pretrain')
)  # fmt: skip


@pytest.mark.parametrize(('name', 'scale'), KINDS)
def test_every_table_resolves(name, scale):
    table = find_table(name, scale)
    names = [row.name for row in table.rows]
    assert len(set(names)) == len(names)
    for row in table.rows:
        assert set(row.against) | set(row.members) <= set(names)
        assert (row.recipe is None) == bool(row.members)
    plan = plan_table(table, [0], ROOT)
    jobs = all_jobs(plan)
    assert len({job.digest for job in jobs}) == len(jobs)
    assert len({job.name for job in jobs}) == len(jobs)
    # Rows of one table differ in what they train.
    assert len({runs[0].digest for runs in plan.values()}) == len(plan)
    for number, job in enumerate(jobs):
        if job.search is not None and job.recipe.head.kind == 'searched':
            assert job.search.digest in {earlier.digest for earlier in jobs[:number]}


def test_the_table_of_heads_has_every_head_of_every_framework():
    plan = plan_table(find_table('heads', 'demo'), [0, 1, 2], ROOT)
    heads = sorted(job.head for job in all_jobs(plan) if job.seed == 1)
    draws = [f'random-{n}' for n in range(1, 6)]
    assert heads == sorted(
        2 * ['standard', 'search', 'searched', *draws]
        + ['published-simclr_r50_cifar10', 'published-simsiam_r18_cifar10']
    )
    # 18 runs a seed, and whole seeds come one after the other.
    seeds = [job.seed for job in all_jobs(plan)]
    assert seeds == [0] * 18 + [1] * 18 + [2] * 18


def digest(config=PRETRAIN, *edits, head=None, seed=0):
    return plan_run(Recipe(config, edits, head), seed, ROOT).digest


def test_what_decides_a_run_changes_its_digest():
    head = Head('searched', Recipe(SEARCH))
    other = Recipe(SEARCH, (put('optim_wrapper.optimizer.lr', 0.5),))
    digests = [
        digest(head=head),
        digest(head=head, seed=1),
        digest(PRETRAIN, put('optim_wrapper.optimizer.lr', 0.5), head=head),
        digest(head=Head('searched', other)),
        digest(head=Head('searched', Recipe(SEARCH), widths=Recipe(SEARCH))),
        digest(head=Head('random', Recipe(SEARCH), draw=1)),
        digest(head=Head('random', Recipe(SEARCH), draw=2)),
    ]
    assert len(set(digests)) == len(digests)


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('train_dataloader.num_workers', 7),
        ('train_dataloader.pin_memory', True),
        ('train_dataloader.dataset.dataset.dataset.data_root', '/elsewhere'),
        ('default_hooks.checkpoint.interval', 3),
        ('work_dir', '/elsewhere'),
        ('log_level', 'ERROR'),
    ],
)
def test_what_decides_nothing_does_not(name, value):
    assert digest(PRETRAIN, put(name, value)) == digest(PRETRAIN)


def test_the_search_learning_rate_matters_to_no_random_head():
    other = Recipe(SEARCH, (put('optim_wrapper.optimizer.lr', 0.5),))
    first, second = (Head('random', search, draw=1) for search in (Recipe(SEARCH), other))
    assert digest(head=first) == digest(head=second)


def test_tables_share_their_runs():
    standard = plan_table(find_table('heads', 'demo'), [0], ROOT)['SimSiam standard'][0]
    for table, row in (
        ('t2', 'SimSiam'), ('simsiam-ablations', 'SimSiam'), ('study003', 'all images'),
    ):  # fmt: skip
        assert plan_table(find_table(table, 'demo'), [0], ROOT)[row][0].digest == standard.digest


def test_rows_are_selected_by_pattern():
    table = find_table('heads', 'demo')
    plan = plan_table(table, [0], ROOT)
    assert list(select_rows(table, plan, ['SimCLR sta*'])) == ['SimCLR standard']
    chosen = select_rows(table, plan, ['SimCLR random, mean*'])
    assert list(chosen) == [f'SimCLR random {n}' for n in range(1, 6)]
    assert select_rows(table, plan, None) is plan
    with pytest.raises(ValueError, match=r"no row matches \['x'\]"):
        select_rows(table, plan, ['x'])


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (lambda: find_table('t9', 'demo'), "there is no table 't9'; there are heads, t1"),
        (lambda: find_table('t4', 'demo'), 'no demo scale: there is no small ImageNet'),
        (lambda: find_table('t1', 'tiny'), "scale 'tiny' is none of demo, paper"),
        (lambda: plan_table(find_table('t1', 'demo'), [], ROOT), 'different whole numbers'),
        (lambda: plan_table(find_table('t1', 'demo'), [1, 1], ROOT), 'different whole numbers'),
        (lambda: plan_table(find_table('t1', 'demo'), [-1], ROOT), 'different whole numbers'),
    ],
)
def test_what_cannot_be_planned_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_missing_config_is_named():
    table = Table('x', 'x', (Row('x', Recipe('nasiam/none')),), {'loss': 'loss'})
    with pytest.raises(FileNotFoundError, match=r"nasiam/none.py' does not exist"):
        plan_table(table, [0], ROOT)
