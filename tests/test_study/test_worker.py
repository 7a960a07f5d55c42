# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A study from its first trial to its verdict, by workers that live and workers that die."""

import json
import os
import random
import re
import signal
import time

import pytest

from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.probes.measures import MEASURES
from nasiam_mm.study import trials as notes
from nasiam_mm.study.plan import END, Job, Plan
from nasiam_mm.study.progress import beginning_line
from nasiam_mm.study.report import write_report
from nasiam_mm.study.section import Study
from nasiam_mm.study.trainings import STANDARD
from tests.test_study import trainer
from tests.test_study.conftest import forked, wait
from tests.test_study.played import trained, worker


def scores(one):
    """Return (head, seed) -> score of all that a study has trained."""
    return {(t.key, t.seed, t.score) for t in notes.read_trials(one.trials)} | {
        (c.key, c.seed, c.score) for c in notes.read_checks(one.checks)
    }


@pytest.fixture(scope='module')
def done(tmp_path_factory):
    """Make one study, without test images, which the played trainings have not."""
    folder = tmp_path_factory.mktemp('study')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('nasiam_mm.study.jobs.read_test', lambda *_: 44.0)
        lines = []
        one = worker(folder, tell=lines.append)
        assert one.run()
    return one, folder, lines


def test_the_standard_head_is_the_first_trial_and_what_it_scores_is_its_own_configs(done):
    one, folder, _ = done
    first = notes.read_trials(one.trials)[0]
    assert (first.key, first.source, first.seed) == (STANDARD, STANDARD, 0)
    (run,) = (folder / 'runs').glob('standard-seed0-*')
    assert 'NonLinearNeck' in (run / 'config.py').read_text()


def test_each_trial_is_trained_once_and_a_head_that_comes_again_takes_the_next_seed(done):
    one, folder, _ = done
    assert all(epochs == [1, 2, 3] for epochs in trained(folder).values())
    trials = notes.read_trials(one.trials)
    assert len(trials) == 8
    assert len({(t.key, t.seed) for t in trials}) == 8
    for trial in trials:
        before = sum(t.key == trial.key for t in trials[: trial.number])
        assert trial.seed == before


def test_the_best_of_the_trials_is_compared_on_fresh_seeds_and_fresh_images(done):
    one, folder, _ = done
    plan = one.plan()
    others = [t for t in plan.trials if t.key != STANDARD]
    heads = {t.key for t in others}
    means = {k: sum(t.score for t in others if t.key == k) / sum(t.key == k for t in others)
             for k in heads}  # fmt: skip
    assert list(plan.current.heads) == [max(means, key=means.get)]
    checks = [c for c in plan.checks if c.phase == 'verify']
    assert {c.seed for c in checks}.isdisjoint(t.seed for t in plan.trials)
    assert len(checks) == 2 * plan.verdict().n
    assert all(len(c.correct) == trainer.IMAGES for c in checks)
    # Only they classify images of their own.
    assert len(list((folder / 'runs').glob('*/train/final.json'))) == len(checks)


def test_what_is_recommended_is_better_and_lies_in_the_folder(done):
    one, folder, _ = done
    plan = one.plan()
    told = write_report(folder, plan, one.trainings)
    report = json.loads((folder / 'verdict.json').read_text())
    options = next(iter(plan.current.heads.values()))
    better = trainer.true_score(options) > trainer.STANDARD + 1
    assert report['answer'] == ('use' if better else 'keep')
    assert report['sentence'] in told
    assert report['objective'] == 'kNN top-1, %' and report['unit'] == 'points'
    # A difference is that of the scores, which are of the seeds that count.
    [row], scores = report['verdict']['compared'], report['scores']
    compared = {key: found['compared'] for key, found in scores.items()}
    gain = compared[row['name']]['mean'] - compared[STANDARD]['mean']
    assert gain == pytest.approx(row['mean']) and compared[STANDARD]['seeds'] == row['n']
    trials = [t.score for t in plan.trials if t.key == STANDARD]
    assert scores[STANDARD]['search']['mean'] == pytest.approx(sum(trials) / len(trials))
    genotype = load_genotype(str(folder / 'genotype.json'))
    assert {n: d.chosen[0] for n, d in genotype.decisions.items()}.items() <= options.items()
    table = (folder / 'table.md').read_text()
    assert table.count('44.00') == 2 and '| standard |' in table
    assert (folder / 'scores.png').stat().st_size > 1000


def test_progress_says_what_leads_and_what_is_left(done):
    _, _, lines = done
    first = r'trial 1/8 \(standard, standard\): (4\d\.\d\d) in 0:0\d; 1 of 8 trials, standard \1'
    assert re.match(first, lines[0]), lines[0]
    assert 'best kNN 4' in lines[7] and 'left' in lines[7]
    # Every training has a line of its own.
    assert [line.split(' ')[1] for line in lines[:8]] == [f'{n}/8' for n in range(1, 9)]
    seeds = [re.search(r'^comparison (\w+), seed (\d+): ', line) for line in lines[9:]]
    assert len({found.groups() for found in seeds if found}) >= 6
    most = f'at most {2 * done[0].study.max_seeds} trainings'
    assert lines[8] == f'comparison of 1 head with the standard one begins: {most}, on fresh seeds'
    assert f'1 of {most} compared' in lines[9] and sum('begins' in line for line in lines) == 1


def test_what_is_begun_before_the_trials_is_named():
    study = Study(gradient=[dict(strategy='gdas'), dict(strategy='darts_first_order')])
    plan = Plan(study, [], [])
    assert 'search by gradient begins (gdas, 1 of 2)' in beginning_line(plan, plan.next())
    assert beginning_line(plan, Job('reference')).startswith('training of the standard head begins')
    assert beginning_line(plan, Job('search')) == ''


def test_a_study_at_its_end_trains_nothing_again_and_can_be_extended(done, monkeypatch):
    _, folder, _ = done
    monkeypatch.setattr('nasiam_mm.study.jobs.read_test', lambda *_: 44.0)
    before = trained(folder)
    assert worker(folder).run()
    assert trained(folder) == before
    longer = worker(folder, trials=10)
    assert longer.run()
    plan = longer.plan()
    assert len(plan.trials) == 10 and len(plan.rounds) == 2
    seeds = [{c.seed for c in plan.checks if c.phase == 'verify' and c.seed // 1000 == n}
             for n in (1, 2)]  # fmt: skip
    assert seeds[0] and seeds[1]


def test_a_study_that_means_something_else_is_refused(done):
    _, folder, _ = done
    with pytest.raises(ValueError, match="study 'heads' is another one: objective is .*take anoth"):
        worker(folder, objective=dict(type='RankMe'))


def play(folder, url=None, seconds=0.02, **changes):
    """Return what a worker process does."""

    def work():
        from unittest import mock

        os.environ['EPOCH_SECONDS'] = str(seconds)
        with mock.patch('nasiam_mm.study.jobs.read_test', lambda *_: 44.0):
            worker(folder, url, **changes).run()

    return work


def kill_now_and_then(folder, processes, work, kills, seed):
    """Kill workers at random moments, and start another for each."""
    rng, processes = random.Random(seed), list(processes)
    for _ in range(kills):
        time.sleep(rng.uniform(0.3, 1.0))
        victim = processes.pop(rng.randrange(len(processes)))
        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:
            break
        wait(victim)
        with forked_on(work) as process:
            processes.append(process)
    return [wait(process) for process in processes]


class forked_on:
    """A process that lives on behind the block."""

    def __init__(self, work):
        self.context = forked(work)

    def __enter__(self):
        return self.context.__enter__()[0]

    def __exit__(self, *_):
        pass


@pytest.mark.parametrize('seed', [0, 1])
def test_a_study_whose_workers_are_killed_equals_one_left_alone(tmp_path, seed):
    alone, killed = tmp_path / 'alone', tmp_path / 'killed'
    with forked(play(alone, seconds=0)) as (process,):
        assert wait(process) == 0
    work = play(killed, seconds=0.1)
    with forked(work, count=2) as processes:
        ends = kill_now_and_then(killed, processes, work, kills=5, seed=seed)
    assert set(ends) <= {0, -signal.SIGKILL}
    one, other = worker(alone), worker(killed)
    assert other.plan().next() == END
    assert scores(one) == scores(other)
    assert one.plan().verdict() == other.plan().verdict()
    # An epoch is trained again only where its training was killed within it.
    assert all(sorted(set(epochs)) == [1, 2, 3] for epochs in trained(killed).values())
    assert trained(alone).keys() == trained(killed).keys()


def test_three_workers_on_postgresql_lose_no_trial_and_make_none_twice(tmp_path, postgres):
    work = play(tmp_path, postgres.url, seconds=0.05)
    with forked(work, count=3) as processes:
        for _ in range(3):
            time.sleep(0.7)
            postgres.cut_connections()
        ends = kill_now_and_then(tmp_path, processes, work, kills=2, seed=0)
    assert set(ends) <= {0, -signal.SIGKILL}
    one = worker(tmp_path, postgres.url)
    assert one.plan().next() == END
    trials = notes.read_trials(one.trials)
    assert {t.state for t in trials} == {'complete'}
    assert len({(t.key, t.seed) for t in trials}) == len(trials) >= 8
    assert all(sorted(set(epochs)) == [1, 2, 3] for epochs in trained(tmp_path).values())
    checks = notes.read_checks(one.checks)
    runs = len({(t.key, t.seed) for t in (*trials, *checks)})
    assert runs == len(list((tmp_path / 'runs').iterdir()))


OBJECTIVES = ['knn', *(dict(type=name) for name in MEASURES.module_dict if name != 'KNN')]


@pytest.mark.parametrize('objective', OBJECTIVES, ids=str)
def test_a_head_that_collapses_with_the_best_score_is_refused_and_named(
    tmp_path, monkeypatch, objective
):
    """Planted: it has the best score of all by whatever it is ranked by."""
    monkeypatch.setattr('nasiam_mm.study.jobs.read_test', lambda *_: 44.0)
    monkeypatch.setenv('COLLAPSES', '3')
    # The played measures are higher where the head is better.
    monkeypatch.setattr('nasiam_mm.probes.measures.Measure.score', lambda self, value: value)
    for measure in MEASURES.module_dict.values():
        monkeypatch.delattr(measure, 'score', raising=False) if 'score' in vars(measure) else None
    one = worker(tmp_path, trials=6, objective=objective, max_seeds=3, seed=3)
    assert one.run()
    plan = one.plan()
    fallen = {t.key for t in plan.trials if t.options['projector.depth'] == 3}
    assert fallen and max(plan.trials, key=lambda t: t.score).key in fallen
    assert fallen.isdisjoint(plan.current.heads)
    write_report(tmp_path, plan, one.trainings)
    refused = json.loads((tmp_path / 'verdict.json').read_text())['refused']
    assert {row['head'] for row in refused} == fallen
    assert all('collapsed: the effective rank of z is 1.5' in row['why'] for row in refused)
    assert '- refused: ' in (tmp_path / 'table.md').read_text()


def test_a_head_over_a_limit_is_not_trained(tmp_path):
    one = worker(tmp_path, trials=6, verify=0, limits=dict(parameters=1))
    one.run()
    assert trained(tmp_path) == {}
    trials = notes.read_trials(one.trials)
    assert all('parameters, over 1' in trial.fault for trial in trials)
    assert one.trials.trials[0].constraints['parameters'] > 0
    write_report(tmp_path, one.plan(), one.trainings)
    report = json.loads((tmp_path / 'verdict.json').read_text())
    assert report['answer'] == 'keep' and 'no other head' in report['sentence']


def test_a_head_whose_training_fails_is_no_candidate_and_five_in_a_row_end_the_study(
    tmp_path, monkeypatch
):
    monkeypatch.setenv('FAILS', '4')
    one = worker(tmp_path / 'one', trials=8, verify=0)
    one.run()
    failed = [t for t in notes.read_trials(one.trials) if t.options['projector.depth'] == 4]
    assert failed and all('failed: the loss is nan' in t.fault for t in failed)
    monkeypatch.setenv('FAILS', '')
    # What fails whatever the head is no fault of the heads: mended, the study goes on with them.
    with monkeypatch.context() as patch:
        patch.setattr('tests.test_study.played.COMMAND', ('false',))
        with pytest.raises(ValueError, match='5 trainings in a row have failed: no output'):
            worker(tmp_path / 'two', verify=0).run()
    two = worker(tmp_path / 'two', verify=0)
    two.run()
    trials = notes.read_trials(two.trials)
    assert [t.fault for t in trials] == [''] * 8
    alone = worker(tmp_path / 'three', verify=0)
    alone.run()
    assert scores(two) == scores(alone)


def test_trials_that_lag_behind_are_stopped_and_what_they_have_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv('EPOCH_SECONDS', '0.4')
    pruner = dict(type='SuccessiveHalving', eta=2)
    one = worker(tmp_path, trials=8, verify=0, pruner=pruner)
    one.run()
    states = [t.state for t in notes.read_trials(one.trials)]
    assert 'pruned' in states and 'complete' in states
    short = [epochs for epochs in trained(tmp_path).values() if len(epochs) < 3]
    assert short


def test_cheap_trials_are_held_against_the_recipe_before_they_are_relied_on(tmp_path, monkeypatch):
    monkeypatch.setattr('nasiam_mm.study.jobs.read_test', lambda *_: 44.0)
    cheap = {'train_cfg.max_epochs': 1}
    lines = []
    settings = dict(cheap=cheap, pilot=4, rerank=2, rerank_seeds=2)
    one = worker(tmp_path, tell=lines.append, trials=8, **settings)
    assert one.run()
    plan = one.plan()
    pilots = {c.key for c in plan.checks if c.phase == 'pilot'}
    assert len(pilots) == 4 and STANDARD in pilots
    assert {len(epochs) for epochs in trained(tmp_path).values()} == {1, 3}
    again = {(c.key, c.seed) for c in plan.checks if c.phase == 'rerank'}
    assert len(again) == 4
    write_report(tmp_path, plan, one.trainings)
    told = json.loads((tmp_path / 'verdict.json').read_text())['fidelity']
    assert 'over 4 heads, one seed each' in told
    # Said while the search is going on, from the moment that it is known.
    assert told not in lines[0] and any(told in line for line in lines[:10])


def test_candidates_alone_are_compared_without_a_search(tmp_path, done, monkeypatch):
    monkeypatch.setattr('nasiam_mm.study.jobs.read_test', lambda *_: 44.0)
    _, folder, _ = done
    file = next((folder / 'genotypes').glob('*.json'))
    one = worker(tmp_path, trials=0, candidates=[str(file)])
    assert one.run()
    plan = one.plan()
    assert plan.trials == []
    assert list(plan.current.heads) == [file.stem]
    assert {c.phase for c in plan.checks} == {'verify', 'test'}
