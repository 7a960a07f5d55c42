# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""How often a verdict is wrong: whole studies simulated, judged after every seed."""

import numpy as np
import pytest
from scipy import stats

from nasiam_mm.study.verdict import Arm, Rule, judge, next_seeds

STUDIES = 1000
RULE = Rule(max_seeds=6)


def studied(score, k, rule=RULE):
    """Run a study: ``score(seed)`` of the standard head and k candidates, (1 + k,)."""
    arms, verdict, seed = [{} for _ in range(k + 1)], None, 0
    while more := next_seeds(verdict, rule):
        for _ in range(more):
            for arm, value in zip(arms, score(seed), strict=True):
                arm[seed] = float(value)
            seed += 1
        verdict = judge(Arm('s', arms[0]), [Arm(f'{n}', a) for n, a in enumerate(arms[1:])], rule)
    return verdict


def rates(gains, studies=STUDIES, rho=0.5, sd=0.6, seed=0, rule=RULE):
    """Answers of studies whose candidates are better by so much; seeds shared by correlation."""
    rng = np.random.default_rng(seed)
    true = 40 + np.array([0.0, *gains])
    own, shared = sd * np.sqrt(1 - rho), sd * np.sqrt(rho)

    def score(_):
        return true + shared * rng.standard_normal() + own * rng.standard_normal(len(true))

    found = [studied(score, len(gains), rule) for _ in range(studies)]
    assert all(v.n <= rule.max_seeds for v in found)
    answers = [v.answer for v in found]
    return {a: answers.count(a) / studies for a in ('use', 'keep', 'undecided')}, found


@pytest.mark.parametrize(('k', 'rho', 'sd'), [(1, 0.5, 0.6), (3, 0.8, 1.2)])
def test_nothing_better_is_used_in_five_percent_at_most(k, rho, sd):
    found, _ = rates([0.0] * k, rho=rho, sd=sd, seed=k)
    assert 0.01 < found['use'] <= 0.055, found


@pytest.mark.parametrize('k', [1, 2])
def test_a_head_better_by_the_margin_is_passed_over_in_five_percent_at_most(k):
    found, _ = rates([1.0] + [-1.0] * (k - 1), rho=0.0, sd=0.9, seed=k)
    assert found['keep'] <= 0.055, found
    assert found['keep'] > 0.005 or k > 1  # it can happen


def test_a_large_gain_is_found_and_none_is_kept():
    better, verdicts = rates([2.0], studies=200)
    assert better['use'] > 0.95
    assert np.mean([v.n for v in verdicts]) < 5  # stops early
    inside = [v.compared[0].interval[0] <= 2 <= v.compared[0].interval[1] for v in verdicts]
    assert np.mean(inside) >= 0.86
    none, _ = rates([0.0], studies=200)
    assert none['keep'] > 0.7


def test_looking_without_the_boundary_would_be_wrong_more_often():
    # The same studies at p <= 0.05 a look: the simulation can fail.
    rng = np.random.default_rng(1)
    data = rng.normal(size=(STUDIES, 6))
    looks = [
        stats.ttest_1samp(data[:, :n], 0, 1, alternative='greater').pvalue for n in range(3, 7)
    ]
    assert (np.min(looks, 0) <= 0.05).mean() > 0.08


class Heads:
    """50 heads, none better than the standard one, each better on some images than on others."""

    images = 600

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        searched, fresh = self.rng.normal(0, 0.3, (2, 51, self.images))
        base = self.rng.uniform(0.4, 0.6, (2, self.images))
        self.chance = {'search': base[0] + searched, 'fresh': base[1] + fresh}

    def run(self, heads, images):
        """Train each once more, (heads, N): whether its images are told right."""
        chance = self.chance[images][heads]
        chance = chance + self.rng.normal(0, 0.004, (len(heads), 1))
        return self.rng.random(chance.shape, dtype=np.float32) < chance

    def verify(self, images, with_images):
        """Search by one run of each, then verify the best on fresh seeds."""
        scores = self.run(np.arange(1, 51), 'search').mean(1)
        pair = [0, 1 + int(scores.argmax())]
        correct, verdict, seed = ({}, {}), None, 100
        while more := next_seeds(verdict, RULE):
            for _ in range(more):
                for known, row in zip(correct, self.run(pair, images), strict=True):
                    known[seed] = row
                seed += 1
            arms = [
                Arm(name, {s: 100 * float(c.mean()) for s, c in known.items()},
                    known if with_images else None)
                for name, known in zip('sa', correct, strict=True)
            ]  # fmt: skip
            verdict = judge(arms[0], arms[1:], RULE, trials=50, used_seeds=[0])
        return verdict.answer == 'use'


def test_a_whole_search_that_found_nothing():
    def rate(images, with_images, studies):
        return np.mean([Heads(n).verify(images, with_images) for n in range(studies)])

    assert rate('fresh', True, 1000) <= 0.055
    # Each of the two precautions is needed.
    assert rate('fresh', False, 250) > 0.1
    assert rate('search', False, 150) > 0.25
