# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The rendered table: means, deviations, tests, the paper's figure, and what is missing."""

import pytest

from benchmarks.papers.markdown import metric_of, render_table
from benchmarks.papers.significance import compare
from benchmarks.papers.spec import Recipe, Row, Table

RECIPE = Recipe('any')
TABLE = Table(
    'Heads',
    (
        Row('standard', RECIPE, paper='89.5'),
        Row('random 1', RECIPE, ('standard',)),
        Row('random 2', RECIPE, ('standard',)),
        Row('chance', against=('standard',), members=('random 1', 'random 2')),
        Row('searched', RECIPE, ('standard', 'chance'), '91.0'),
    ),
    {'knn': 'kNN top-1', 'loss': 'loss'},
    paper='paper, linear',
    fractions=(0.1, 0.5, 1.0),
    notes=('A note.',),
)
KNN = {
    'standard': {0: 40.0, 1: 42.0, 2: 44.0},
    'random 1': {0: 41.0, 1: 42.0, 2: 43.0},
    'random 2': {0: 39.0, 1: 41.0, 2: 46.0},
    'searched': {0: 41.0, 1: 43.5, 2: 45.0},
}


def run(name, seed, knn, **changes):
    return {
        'run': f'{name}-{seed}',
        'config_sha256': 'a' * 64,
        'metrics': {'knn': knn, 'loss': -0.5},
        'few_labels': [
            {'fraction': 0.1, 'knn_test_top1': {'mean': 20.0 + 2 * seed, 'deviation': 1.0}}
        ],
        'device': 'CPU',
        'versions': {'torch': '2.12'},
        'wall_seconds': {'train': 3600.0},
        'process_seconds': {'train': 1800.0},
        'log': 'log.jsonl',
        **changes,
    }


def rows(knn=KNN, **changes):
    return {
        name: {seed: run(name, seed, value, **changes) for seed, value in by_seed.items()}
        for name, by_seed in knn.items()
    }


def line(text, name):
    (found,) = [row for row in text.splitlines() if row.startswith(f'| {name}')][:1]
    return [cell.strip() for cell in found.strip('|').split('|')]


def test_mean_and_sample_deviation_over_seeds():
    text = render_table(TABLE, rows(), [0, 1, 2], 'make it')
    assert line(text, 'standard')[:4] == ['standard', '3', '42.00 ± 2.00', '-0.50 ± 0.00']
    assert line(text, 'standard')[-2:] == ['-', '89.5']
    assert line(text, 'searched')[-1] == '91.0'


def test_a_line_of_members_is_their_mean_by_seed():
    assert metric_of(TABLE, TABLE.rows[3], rows(), 'knn') == {0: 40.0, 1: 41.5, 2: 44.5}
    cells = line(render_table(TABLE, rows(), [0, 1, 2], ''), 'chance')
    # The means of the members are both 42.
    assert cells[:2] == ['chance (42.00 to 42.00)', '3']
    assert cells[2] == '42.00 ± 2.29'


def test_differences_are_tested_against_each_other_row():
    against = line(render_table(TABLE, rows(), [0, 1, 2], ''), 'searched')[4]
    standard = compare(KNN['searched'], KNN['standard'])
    chance = compare(KNN['searched'], {0: 40.0, 1: 41.5, 2: 44.5})
    assert against == (
        f'standard: +1.17 (paired p = {standard.paired:.3f}, Welch p = {standard.welch:.3f}); '
        f'chance: +1.17 (paired p = {chance.paired:.3f}, Welch p = {chance.welch:.3f})'
    )


def test_one_seed_is_not_tested():
    knn = {name: {0: by_seed[0]} for name, by_seed in KNN.items()}
    cells = line(render_table(TABLE, rows(knn), [0], ''), 'searched')
    assert cells[2] == '41.00'
    assert cells[4].startswith('standard: +1.00 (n=1, no test)')


def test_what_is_not_measured_is_said():
    knn = {name: {} for name in KNN}
    text = render_table(TABLE, rows(knn), [0, 1], '')
    assert line(text, 'searched')[1:5] == [
        '0', 'not measured', 'not measured', 'standard: not measured; chance: not measured',
    ]  # fmt: skip
    assert 'Nothing is measured yet.' in text


def test_a_seed_that_one_member_lacks_has_no_mean():
    knn = {**KNN, 'random 2': {0: 39.0, 2: 46.0}}
    assert set(metric_of(TABLE, TABLE.rows[3], rows(knn), 'knn')) == {0, 2}


def test_the_label_curve_is_over_seeds():
    text = render_table(TABLE, rows(), [0, 1, 2], '')
    assert line(text, '10 %') == ['10 %', '22.00 ± 2.00', 'not measured']


def test_times_versions_and_evidence_are_stated():
    text = render_table(TABLE, rows(), [0, 1, 2], 'make it')
    assert 'torch 2.12' in text
    assert '12 runs, searches left out: 12.00 hours on the clock, 6.00 of processes' in text
    assert 'Made by `make it`.' in text
    assert 'A note.' in text
    assert '[log](runs/searched-1/log.jsonl)' in text
    assert 'Not all runs' not in text


@pytest.mark.parametrize('change', [{'device': 'GPU'}, {'versions': {'torch': '2.13'}}])
def test_unequal_conditions_are_told(change):
    mixed = rows()
    mixed['searched'][0] = run('searched', 0, 41.0, **change)
    assert '**Not all runs were made with the same.**' in render_table(TABLE, mixed, [0], '')
