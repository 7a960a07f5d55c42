# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Plans are read, refused where they are wrong, and shipped in the order of what tells most."""

import json
from pathlib import Path

import pytest

from benchmarks.offline.plans import Item, read_plan, resolve, tables_of
from tests.reduced import ROOT

CIFAR10 = read_plan(ROOT / 'benchmarks/offline/shipped/cifar10.json')


def test_the_cifar10_plan_begins_with_what_tells_most():
    first = [(item.table, item.rows, item.seeds) for item in CIFAR10[:5]]
    assert first == [
        ('heads', ('SimSiam searched',), (0,)),
        ('heads', ('SimSiam standard',), (0,)),
        ('heads', ('SimSiam random 1', 'SimSiam random 2'), (0,)),
        ('t1', ('S', "S'", 'standard head'), (0,)),
        ('heads', ('SimCLR searched',), (0,)),
    ]
    assert all(item.scale == 'paper' and item.fast for item in CIFAR10)
    # Every row of the first seed comes before any of the second and third, which are the same rows.
    seeds = [item.seeds for item in CIFAR10]
    assert seeds == sorted(seeds)
    rows = [{(i.table, i.rows) for i in CIFAR10 if i.seeds == s} for s in ((0,), (1, 2))]
    assert rows[0] == rows[1] and len(rows[0]) == len(CIFAR10) / 2
    long = [n for n, item in enumerate(CIFAR10) if item.table == 't2' and item.seeds == (0,)]
    assert [CIFAR10[n].rows for n in long] == [('SimSiam',), ('NASiam (SimSiam)',)]
    assert long[0] > max(n for n, item in enumerate(CIFAR10) if item.rows[0] == 'BYOL random 1'
                         and item.seeds == (0,))  # fmt: skip


def test_its_runs_have_the_epochs_of_the_papers_tables():
    works = [resolve(item, ROOT) for item in (*CIFAR10[:4], *CIFAR10[13:15])]
    jobs = {job.name: job for work in works for job in work.jobs}
    epochs = [(job.is_search, job.cfg.train_cfg.max_epochs) for job in jobs.values()]
    # S and the searched head are one run, as are the standard heads; S' adds a search and a run.
    assert sorted(epochs) == sorted([(True, 50)] * 3 + [(False, 100)] * 5 + [(False, 800)] * 2)
    wrappers = {job.cfg.optim_wrapper.type for job in jobs.values()}
    assert wrappers == {'AutocastOptimWrapper'}
    batches = {job.cfg.train_dataloader.batch_size for job in works[-1].jobs}
    assert batches == {256}


def test_items_of_one_table_are_rendered_as_one():
    items = [
        Item('heads', ('SimSiam standard',), (0,), 'demo', 1),
        Item('heads', ('SimSiam searched',), (0, 1), 'demo', 1),
        Item('heads', ('SimSiam searched',), (0,), 'demo', 2),
    ]
    both, other = tables_of(items, ROOT)
    assert list(both.plan) == ['SimSiam standard', 'SimSiam searched'] and both.item.seeds == (0, 1)
    assert list(other.plan) == ['SimSiam searched'] and other.item.epochs == 2


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('{', 'is no plan'),
        ({'rows': []}, "JSON with 'items'"),
        ({'items': [{'rows': ['S']}]}, "item 1: names no 'table'"),
        ({'items': [{'table': 't1'}, {'table': 't1', 'seed': 0}]}, "item 2: no field 'seed'"),
        ({'items': [{'table': 't1', 'rows': 'S'}]}, "rows must be a list, got 'S'"),
    ],
)
def test_what_is_no_plan_is_refused(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        read_plan(write(tmp_path / 'plan.json', content))


def test_an_item_without_rows_is_refused():
    with pytest.raises(ValueError, match=r"no row matches \['none'\]"):
        resolve(Item('t1', ('none',), scale='demo'), ROOT)
    with pytest.raises(FileNotFoundError, match="plan 'none' does not exist"):
        read_plan(Path('none'))
