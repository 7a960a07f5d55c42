# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The verdict: worked example, an independent recomputation, invariances, refusals, sentences."""

import json
import math

import numpy as np
import pytest
from scipy import stats

from nasiam_mm.study.boundary import critical_p
from nasiam_mm.study.differences import Difference, difference
from nasiam_mm.study.verdict import Arm, Rule, judge, next_seeds

WORKED = [0.9, 1.3, 0.7, 1.1, 0.8]
TEN = Rule(max_seeds=10)


def arm(name, scores, **more):
    return Arm(name, dict(enumerate(map(float, scores))), **more)


def judged(*gains, rule=TEN, standard=None, **more):
    """Judge candidates 'a', 'b', ... that differ from a standard head by so much on each seed."""
    base = np.linspace(40, 43, len(gains[0])) if standard is None else np.array(standard)
    arms = [arm('abcdefgh'[n], base + g) for n, g in enumerate(gains)]
    return judge(arm('standard', base), arms, rule, **more)


def test_worked_example():
    [row] = judged(WORKED).compared
    assert (row.n, row.df) == (5, 4)
    assert row.mean == pytest.approx(0.96) and row.se == pytest.approx(0.10770, abs=1e-5)
    assert row.mean / row.se == pytest.approx(8.913, abs=1e-3)
    assert row.p == pytest.approx(0.000438, abs=1e-6)
    assert row.interval == pytest.approx((0.593, 1.327), abs=1e-3) and row.lower == row.interval[0]
    three = judged(WORKED, np.sin(range(5)), np.cos(range(5)))
    assert three.compared[0].interval == pytest.approx((0.422, 1.498), abs=2e-3)  # c rounded
    assert (three.answer, three.head) == ('use', 'a')


@pytest.mark.parametrize('case', range(12))
def test_scipy_tells_the_same(case):
    rng = np.random.default_rng(case)
    n, k, gain = rng.integers(3, 9), rng.integers(1, 4), rng.choice([0, 0.5, 1, 2])
    standard, *heads = rng.normal([[40]] + [[40 + gain]] * k, 0.6, (k + 1, n))
    rule = Rule(max_seeds=8, margin=0.8)
    verdict = judge(arm('s', standard), [arm(f'{j}', h) for j, h in enumerate(heads)], rule)
    limit, keeping = critical_p(8, int(k)), critical_p(8, 1)
    for row, head in zip(verdict.compared, heads, strict=True):
        above = stats.ttest_rel(head, standard, alternative='greater')
        below = stats.ttest_rel(head - 0.8, standard, alternative='less')
        assert row.p == pytest.approx(above.pvalue) and row.p_margin == pytest.approx(below.pvalue)
        found = stats.ttest_rel(head, standard).confidence_interval(1 - 2 * limit)
        assert row.interval == pytest.approx((found.low, found.high))
        assert row.shrunken == pytest.approx(row.mean * max(0, 1 - 1 / above.statistic**2))
        spread = np.std(head - standard, ddof=1) / math.sqrt(8)
        beyond = stats.nct.sf(stats.t.isf(limit, 7), 7, 0.8 / spread)
        assert row.power == pytest.approx(beyond, abs=1e-6)
    passes = [row for row in verdict.compared if row.p <= limit]
    keeps = all(row.p_margin <= keeping for row in verdict.compared)
    assert verdict.answer == ('use' if passes else 'keep' if keeps else 'undecided')
    assert verdict.head == (max(passes, key=lambda row: row.mean).name if passes else None)


def test_use_never_stands_on_a_lower_limit_of_zero_or_less():
    rng, used = np.random.default_rng(0), 0
    for _ in range(2000):
        verdict = judged(*rng.normal(0.6, 0.4, (2, rng.integers(3, 11))))
        if verdict.answer == 'use':
            used += 1
            assert next(r for r in verdict.compared if r.name == verdict.head).lower > 0
    assert 200 < used < 1900


def test_what_does_not_matter():
    rng = np.random.default_rng(3)
    standard, a, b = rng.normal([[41], [41.4], [41.2]], 0.6, (3, 6))

    def of(standard, a, b, margin=1.0):
        return judge(arm('s', standard), [arm('a', a), arm('b', b)], Rule(margin=margin))

    def numbers(verdict, scale=1.0):
        return [
            (r.mean / scale, r.se / scale, r.lower / scale, r.p, r.p_margin, r.power, r.more_seeds)
            for r in verdict.compared
        ]

    plain = of(standard, a, b)
    rows = rng.normal(0, 20, 6)  # a constant added to all of a seed
    order = rng.permutation(6)
    shifted = of(standard + rows, a + rows, b + rows)
    permuted = of(standard[order], a[order], b[order])
    larger = of(2 * standard, 2 * a, 2 * b, margin=2.0)
    for other, scale in ((shifted, 1), (permuted, 1), (larger, 2)):
        assert (other.answer, other.more_seeds) == (plain.answer, plain.more_seeds)
        assert np.allclose(
            np.array(numbers(other, scale), float), np.array(numbers(plain), float), equal_nan=True
        )
    # Pairing matters: other seeds beside these are other differences.
    assert numbers(of(standard, a[order], b[order])) != numbers(plain)


def test_more_seeds_by_the_formula():
    gains = [0.9, -0.2, 0.8, 0.1, 0.5]
    verdict = judged(gains, rule=Rule(max_seeds=30))
    m, s, c = np.mean(gains), np.std(gains, ddof=1), critical_p(30)
    by_hand = next(
        n for n in range(6, 999)
        if max(m, 1 - m) * math.sqrt(n) / s >= stats.t.isf(c, n - 1) + 0.84
    )  # fmt: skip
    assert verdict.more_seeds == verdict.compared[0].more_seeds == by_hand - 5
    assert f'about {by_hand - 5} more seeds would decide; ' in verdict.sentence
    past = judged(gains, rule=Rule(max_seeds=6))
    assert 'past the 6 of this study; a new one needs max_seeds=' in past.sentence
    # Not foretold of 4, which the sentence says; nor where not even 100 would decide.
    few = judged(gains[:4], rule=Rule(max_seeds=30))
    assert few.more_seeds is None and '4 seeds foretell no number of seeds' in few.sentence
    never = judged([40.5, -40, 0.9, 30, -29])
    assert never.more_seeds is None and 'not even 100 seeds would decide' in never.sentence


def test_an_undecided_verdict_says_what_its_interval_holds():
    verdict = judged([-20.0, 10, -15], rule=Rule(unit='of RankMe'))
    low, high = verdict.compared[0].interval
    assert verdict.sentence.startswith(
        f'undecided: interval [{low:.2f}, {high:.2f}] of the candidate (a) '
        'holds both 0 and 1 of RankMe; 3 seeds foretell no number'
    )
    assert '(a) stands at -8.33 of RankMe; 3 seeds' in verdict.sentence


def test_few_images_are_named_where_one_is_more_than_the_margin():
    rng = np.random.default_rng(0)
    right = {n: rng.random((2, 10)) < 0.5 for n in range(3)}
    arms = [
        Arm(name, {n: 100 * flags[k].mean() for n, flags in right.items()},
            {n: flags[k] for n, flags in right.items()})
        for k, name in enumerate(('standard', 'a'))
    ]  # fmt: skip
    told = judge(arms[0], arms[1:], TEN).sentence
    assert '10 comparison images: one is 10 points, more images are needed' in told


def test_one_seed_and_two():
    one = judged([0.8], trials=24)
    assert one.sentence == (
        'the candidate (a) is ahead by 0.80 points on one seed; undecided; 1 seed; '
        'chosen from 24 trials'
    )
    assert (one.answer, one.more_seeds, one.n) == ('undecided', None, 1)
    assert judged([-0.8]).sentence.startswith('the candidate (a) is behind by 0.80 points on one')
    two = judged([1.0, 1.1], [2.0, 2.2])
    assert two.sentence.startswith('the candidate (b) is ahead by 2.10 points on 2 seeds; unde')
    assert 'of the 3 that a verdict takes' in two.reason


@pytest.mark.parametrize(
    ('scores', 'more', 'why'),
    [
        ([1.0, 1.0, 1.0, 1.0], {}, 'differs by the same on all 4 seeds'),
        ([0.9, math.nan, 1.1], {}, 'the score of the candidate (a) on seed 1 is not finite'),
        ([0.9, math.inf, 1.1], {}, 'the score of the candidate (a) on seed 1 is not finite'),
        ([0.9, 1.0, 1.1], dict(used_seeds=[7, 2]), 'seed 2 was used in the search'),
    ],
)
def test_what_cannot_be_judged_is_undecided_and_says_why(scores, more, why):
    verdict = judged(scores, **more)
    assert (verdict.answer, verdict.head, verdict.more_seeds) == ('undecided', None, None)
    assert why in verdict.reason and why in verdict.sentence
    assert 'undecided' in verdict.sentence
    json.dumps(verdict.as_dict(), allow_nan=False)


def test_collapsed_seeds_go_for_all_heads_and_are_told():
    base, a = 40.0 + np.arange(6), [1, 1.2, 0.9, 1.1, -30, 1.0]
    b = [0.11, 0.1, 0.09, 0.1, 0.12, 0.1]
    standard = Arm('s', {n: base[n] for n in range(5)}, collapsed=[5])  # has no score there
    fine = judge(
        standard, [arm('a', base + a, collapsed=[4]), arm('b', base + b, collapsed=[5])], TEN
    )
    assert (fine.answer, fine.head, fine.n, fine.seeds) == ('use', 'a', 4, 6)
    assert fine.compared[0].mean == pytest.approx(1.05)
    assert 'the candidate (a) 1, the candidate (b) 1, the standard head 1' in fine.sentence
    barred = judge(arm('s', base), [arm('a', base + a, collapsed=[4]), arm('b', base + b)], TEN)
    assert barred.head != 'a' and '(a) not recommended: collapses more often' in barred.sentence
    alone = judge(arm('s', base), [arm('a', base + a, collapsed=[4])], TEN)
    assert alone.answer == 'undecided' and alone.compared[0].p < 0.001
    few = judge(arm('s', base), [arm('a', base + a, collapsed=[0, 1, 2, 3])], TEN)
    assert (few.answer, few.n) == ('undecided', 2)


def layout(effect, between, n=6, images=4000, seed=0):
    """Draw correctness of two heads whose images differ by an effect of their own."""
    rng = np.random.default_rng(seed)
    base = rng.uniform(0.2, 0.8, images)
    tilt = rng.normal(0, effect, images)
    arms = []
    for name, shift in (('s', 0), ('a', tilt)):
        chance = np.clip(base + shift + rng.normal(0, between, (n, 1)), 0, 1)
        correct = dict(enumerate(rng.random((n, images)) < chance))
        arms.append(Arm(name, {s: 100 * float(c.mean()) for s, c in correct.items()}, correct))
    return arms


def test_spread_over_images_by_hand():
    standard, head = layout(0.1, 0.005)
    found = difference(standard, head, range(6))
    d = 100.0 * np.array([head.correct[s].astype(int) - standard.correct[s] for s in range(6)])
    grand, rows, columns = d.mean(), d.mean(1), d.mean(0)
    mean_square = ((d - rows[:, None] - columns + grand) ** 2).sum() / (5 * 3999)
    assert found.image_variance == pytest.approx(columns.var(ddof=1) / 4000 - mean_square / 24000)
    assert found.variance == pytest.approx(rows.var(ddof=1)) and found.images == 4000
    v = found.variance / 6
    total, df = found.of_mean(6)
    assert total == pytest.approx(v + found.image_variance)
    assert df == pytest.approx(total**2 / (v**2 / 5))
    # Drawn with an effect of sd 10 points, less what clipping takes.
    assert found.image_variance * 4000 == pytest.approx(100, rel=0.2)
    assert difference(*layout(0.0, 0.005), range(6)).image_variance < 0.1 * found.image_variance


def test_images_widen_the_interval_and_can_be_what_is_missing():
    standard, head = layout(0.25, 0.001, images=400)
    with_images = judge(standard, [head], TEN)
    without = judge(standard, [Arm('a', head.scores)], TEN)
    [wide], [narrow] = with_images.compared, without.compared
    assert wide.mean == narrow.mean and wide.se > 1.1 * narrow.se and wide.df > narrow.df
    assert (with_images.images, without.images) == (400, None)
    assert 'more seeds cannot decide; more images can' in with_images.sentence
    assert with_images.answer == 'undecided' and next_seeds(with_images, TEN) == 0
    assert next_seeds(without, TEN) == (1 if without.answer == 'undecided' else 0)
    with_more, *_ = judge(
        *[[h] if n else h for n, h in enumerate(layout(0.25, 0.001))], TEN
    ).compared
    assert with_more.se < wide.se / 2


def test_no_spread_over_images_is_that_of_seeds():
    assert Difference(5, 0.5, 0.2).of_mean(5) == (pytest.approx(0.04), pytest.approx(4))


def test_looks_at_three_then_one_at_a_time_and_stops():
    assert next_seeds(None, TEN) == 3
    assert next_seeds(judged([0.3]), TEN) == 2
    assert next_seeds(judged([0.3, 0.9, -0.2]), TEN) == 1
    assert next_seeds(judged(WORKED), TEN) == 0
    assert next_seeds(judged([0.01, 0.0, -0.01]), TEN) == 0  # keep
    rule = Rule(max_seeds=4)
    assert next_seeds(judged([0.3, 0.9, -0.2, 1.1], rule=rule), rule) == 0
    assert next_seeds(judged([1.0, 1.0, 1.0]), TEN) == 1
    assert next_seeds(judged([1.0, 1.2, 0.9], used_seeds=[0]), TEN) == 0


def test_sentences():
    use = judged(WORKED, trials=50)
    assert use.sentence == (
        'use the candidate (a): +0.96 points over the standard head, interval [0.59, 1.33]; '
        'shrunken +0.95 points; 5 seeds; chosen from 50 trials'
    )
    keep = judged([0.01, 0.0, -0.01])
    assert keep.sentence.startswith(
        'keep the standard head: no tested candidate is 1 point better (error <= 5%); the best'
    )
    for verdict in (use, keep, judged([0.3, 0.9, -0.2])):
        assert '\n' not in verdict.sentence and 'equal' not in verdict.sentence
        told = json.loads(json.dumps(verdict.as_dict(), allow_nan=False))
        assert told['answer'] == verdict.answer and told['compared'][0]['n'] == verdict.n
    assert judged([0.3]).as_dict()['compared'][0]['p'] is None


@pytest.mark.parametrize(
    ('heads', 'says'),
    [
        ([arm('a', [1, 2])], "seed 2 was run with 's' and not with 'a'"),
        ([arm('a', [1, 2, 3, 4])], "seed 3 was run with 'a' and not with 's'"),
        ([], 'there is no candidate'),
        ([arm('s', [1, 2, 3])], "two heads are named 's'"),
        ([Arm('a', {0: 1.0, 1: 2.0, '2': 3.0})], 'must be a whole number'),
        ([Arm('a', {0: 1.0, 1: 2.0, 2: '3'})], 'must be a number of points'),
    ],
)
def test_heads_that_cannot_be_compared_are_refused(heads, says):
    with pytest.raises(ValueError, match=says):
        judge(arm('s', [1, 2, 3]), heads, TEN)


def test_more_seeds_than_the_rule_has_are_refused():
    with pytest.raises(ValueError, match='5 seeds were run, the rule was fixed for 4'):
        judged(WORKED, rule=Rule(max_seeds=4))


@pytest.mark.parametrize(
    ('settings', 'says'),
    [(dict(max_seeds=2), 'max_seeds'), (dict(margin=0), 'margin'), (dict(alpha=1), 'alpha'),
     (dict(margin=math.nan), 'margin')],
)  # fmt: skip
def test_a_rule_that_cannot_be_kept_is_refused(settings, says):
    with pytest.raises(ValueError, match=says):
        Rule(**settings)


@pytest.mark.parametrize(
    ('change', 'says'),
    [
        (lambda c: np.tile(c, 2), 'correctness of 200 images, .* take the same images'),
        (lambda c: c.astype(int), 'must be bools'),
        (lambda c: ~c, '% of its images are right'),
    ],
)
def test_correctness_that_does_not_fit_is_refused(change, says):
    standard, head = layout(0.1, 0.01, images=100)
    wrong = Arm('a', head.scores, {s: change(c) for s, c in head.correct.items()})
    with pytest.raises(ValueError, match=says):
        judge(standard, [wrong], TEN)
    with pytest.raises(ValueError, match='must be bools'):
        judge(standard, [Arm('a', head.scores, {0: head.correct[0]})], TEN)
