# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The experiment end to end.

1. Trainings and searches of a data seed share its images, and no arm sees another's.
2. A search spends its budget and no more than one training over it; the best of it is the head.
3. Differences are paired, by data seed, as scipy's tests tell them.
"""

import json
from argparse import ArgumentParser
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import ttest_1samp, ttest_rel

from benchmarks.heads import contest
from benchmarks.heads.__main__ import add_arguments, run
from benchmarks.heads.contest import ARMS, BUDGET, SEEDS, TEMPERATURES, TUNING, Contest, searches_of
from benchmarks.heads.contest_answers import compare, contest_answers, scores_of
from benchmarks.heads.lines import VERIFIED, read_lines
from benchmarks.heads.rows import write_contest, write_searches
from nasiam_mm.architecture.genotype import save_genotype
from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.config_walk import type_name, walk


class Played:
    """A store whose trainings are played: 40 % at T 0.2, less elsewhere, by three seconds each."""

    folder, search, variables, launch = None, ('search',), None, None

    def __init__(self, folder, *_, **__):
        self.folder, self.made = folder, []

    def of(self, name, cfg):
        return self.folder / f'{name}-{len(self.made)}'

    def make(self, run, cfg):
        self.made.append(cfg)
        if cfg.model.get('space'):
            save_genotype(contest.random_genotype('SimCLR', contest.choices('simclr'), 1),
                          run / 'train/genotype.json')  # fmt: skip
            return {'process_seconds': 4.0}
        temperature = load_genotype(cfg.model.genotype).decisions['temperature'].chosen[0]
        score = 40.0 - abs(temperature - 0.15) + len(self.made) / 1e6
        names = 'knn/val_top1', 'knn/test_top1', 'linear/test_top1'
        curves = {name: {4: score} for name in names}
        return {'curves': curves, 'process_seconds': 3.0, 'digest': 'd' * 64}


@pytest.fixture
def played(tmp_path, monkeypatch):
    monkeypatch.setattr(contest, 'RunStore', lambda folder, *a, **k: store)
    store = Played(tmp_path)
    return Contest('simclr', 2, tmp_path, store, 'gdas')


def test_all_trainings_of_a_data_seed_cut_the_same_images(played):
    for arm in ('tuned', 'plain', 'random-1'):
        played.verify(arm, 1000)
    cut = [
        node
        for cfg in played.store.made
        for name in ('train_dataloader', 'probe', 'default_hooks')
        for node in walk(cfg.get(name))
        if type_name(node) == 'SplitDataset' and node['part'] != 'test'
    ]
    assert len(cut) > 40 and {node['seed'] for node in cut} == {2}
    parts = {tuple(sorted(dict(node['parts']).items())) for node in cut}
    assert parts == {(('train', 5000), ('val', 2000)),
                     (('alpha', 2500), ('val', 2000), ('weights', 2500))}  # fmt: skip
    seeds = {cfg.randomness.seed for cfg in played.store.made[:-1]}
    assert not seeds & {*SEEDS} - {1000}
    assert played.store.made[-1].probe.test.dataset.parts == {'test': 10_000}


def test_the_temperature_is_tuned_on_the_budget(played):
    head = load_genotype(played.head('tuned')).decisions
    assert len(played.store.made) == len(TEMPERATURES) * len(TUNING) == BUDGET
    assert head['temperature'].chosen == (0.15,)
    assert head['projector.depth'].chosen == (2,)
    played.head('tuned')
    assert len(played.store.made) == BUDGET


def test_a_search_by_gradient_is_repeated_until_the_budget_is_spent(played):
    played.head('plain')
    searches = [cfg for cfg in played.store.made if cfg.model.get('space')]
    assert [cfg.randomness.seed for cfg in searches] == [*range(len(searches))]
    spent = len(searches) * (4.0 + 3.0)
    assert BUDGET * 3.0 <= spent < BUDGET * 3.0 + 7.0


def test_what_searches_spent_and_said_is_told(played, rows):
    played.head('tuned')
    played.head('standard')
    (found,) = searches_of(played.folder)
    assert (found['framework'], found['data_seed'], found['arm']) == ('simclr', 2, 'tuned')
    assert found['seconds'] == BUDGET * 3.0 and len(found['scores']) == len(TEMPERATURES)
    (played.place / 'study').mkdir()
    (played.place / 'study/verdict.json').write_text('{"sentence": "keep the standard head"}')
    (played.place / 'checked.cost').write_text('{"seconds": 50.0}')
    text = contest_answers(rows, list(searches_of(played.folder)))
    assert '| checked | 2 | 50 | keep the standard head |' in text
    assert '| tuned | 2 | 48 |  |' in text


def test_an_arm_that_is_none(played, tmp_path):
    refused = "there is no arm 'best'; take one of standard, tuned"
    with pytest.raises(ValueError, match=refused):
        played.head('best')
    parser = ArgumentParser()
    add_arguments(parser)
    words = 'contest --variant gdas --sampler TPE --arms standard best --work-dir'
    with pytest.raises(ValueError, match=refused):  # before the arm that there is
        run(parser.parse_args([*words.split(), str(tmp_path / 'work')]))
    assert not (tmp_path / 'work').exists()


@pytest.mark.parametrize(
    ('words', 'refused'),
    [
        ('--variant foo --sampler TPE', "there is no strategy 'foo'; take one of "),
        ('--variant gdas --sampler foo --arms standard', "there is no sampler 'foo'; take one of"),
        ('--variant gdas --sampler TPE --framework foo', "there is no framework 'foo'"),
        ('--variant gdas --sampler TPE --data-seeds 0 -1', 'a data seed is a whole number from 0'),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_is(words, refused, tmp_path):
    parser = ArgumentParser()
    add_arguments(parser)
    given = ['--work-dir', str(tmp_path / 'work'), '--rows', str(tmp_path / 'rows.jsonl')]
    with pytest.raises(ValueError, match=refused):
        run(parser.parse_args(['contest', *words.split(), *given]))
    assert not [*tmp_path.iterdir()]


def test_a_head_that_another_strategy_found_is_refused(played):
    other = replace(played, variant='pc_darts', sampler='Evolution')
    found = played.head('variant').read_text()
    (played.place / 'checked.json').write_text(found)
    (played.place / 'checked.cost').write_text('{"seconds": 1.0, "sampler": "TPE"}')
    for arm, by, ours in (('variant', 'gdas', 'pc_darts'), ('checked', 'TPE', 'Evolution')):
        assert played.head(arm).read_text() == found
        with pytest.raises(ValueError, match=f'was found by {by}, not by {ours}; take another'):
            other.head(arm)
    assert other.head('standard') == played.head('standard')


def test_searches_made_elsewhere_stay(tmp_path):
    row = dict(framework='simclr', data_seed=0, arm='tuned', seconds=1.0)
    write_searches([row | {'data_seed': 1}, row, row | {'seconds': 2.0}], tmp_path / 's.jsonl')
    lines = (tmp_path / 's.jsonl').read_text().splitlines()
    assert [json.loads(line)['seconds'] for line in lines] == [2.0, 1.0]


@pytest.fixture(scope='module')
def rows():
    rng, found = np.random.default_rng(0), []
    for arm in ARMS:
        for data in range(3):
            for seed in SEEDS:
                score = 40.0 + 5.0 * (arm == 'checked') + 0.5 * data + rng.normal()
                row = dict(framework='simclr', data_seed=data, arm=arm, seed=seed)
                found.append(row | dict(knn_test=score, linear_test=score + 1))
    return found


def test_differences_are_paired(rows, tmp_path):
    write_contest([*rows, rows[0]], tmp_path / 'a.jsonl')
    assert sorted(map(str, read_lines(tmp_path / 'a.jsonl', VERIFIED))) == sorted(map(str, rows))
    scores = scores_of(rows[:-1])  # one is not there yet: no seed of it counts
    assert scores['checked'].shape == (3, len(SEEDS) - 1)
    scores = scores_of(rows)
    one, other = scores['tuned'], scores['checked']
    found = compare(one, other)
    assert found.mean == pytest.approx((one - other).mean()) and found.mean < -4
    p = [ttest_rel(a, b, alternative='less').pvalue for a, b in zip(one, other, strict=True)]
    assert min(found.p_below) == pytest.approx(3 * min(p)) and max(found.p_below) < 0.05
    p = [ttest_rel(a, b).pvalue for a, b in zip(one, other, strict=True)]
    assert min(found.p_apart) == pytest.approx(3 * min(p))
    low, high = ttest_rel(one.ravel(), other.ravel()).confidence_interval()
    assert found.over_pairs == pytest.approx((high - low) / 2)
    drawn = [scores[f'random-{n}'] for n in range(1, 6)]
    np.testing.assert_allclose(scores['random'], np.mean(drawn, axis=0))


def test_the_answer_tells_goals(rows):
    told = contest_answers(rows)
    assert '3 data seeds, 5 seeds each' in told
    assert '3 points or more: yes' in told and 'not below in any data seed: yes' in told
    scores = scores_of(rows)
    drawn = [scores[f'random-{n}'].mean() for n in range(1, 6)]
    low, high = ttest_1samp(scores['checked'].mean() - np.array(drawn), 0).confidence_interval()
    assert f'| checked | {(low + high) / 2:+.2f} ± {(high - low) / 2:.2f} | 5 of 5 |' in told
    assert f'their median is {np.median(drawn):.2f}.' in told
    told = contest_answers(rows, arm='tuned')
    assert '3 points or more: no' in told
    with pytest.raises(ValueError, match='no seed was trained for all arms'):
        scores_of([row for row in rows if (row['arm'] == 'tuned') == (row['seed'] == 1000)])
