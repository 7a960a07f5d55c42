# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
import numpy as np
import pytest

from benchmarks.backbones.scores import Scores, scores_of
from benchmarks.backbones.winners import losses, winners
from tests.benchmarks.test_backbones.planted import as_rows, planted


def of(values, tasks=('cifar10', 'digits')):
    values = np.array(values, float)
    names = [f'b{n}' for n in range(values.shape[1])]
    return Scores(names, np.arange(1, len(names) + 1) * 1000, tasks, values, 'splits')


def test_a_winner_and_how_sure_it_is():
    scores = of([
        [[50, 51, 52], [60, 61, 50], [40, 41, 42], [30, 30, 30]],
        [[5, 5, 5], [6, 6, 6], [7, 7, 7], [9, 9, 8]],
    ])  # fmt: skip
    first, second = winners(scores)
    assert first == ('cifar10', 'b1', 2000, 57.0, 6.0, 2, 3)
    assert second[1:4] == ('b3', 4000, pytest.approx(26 / 3))
    assert second.first == 3


def test_choosing_by_another_task_costs_what_it_does():
    # On digits the order is turned round: the best by CIFAR-10 is the worst there.
    up = [[1, 1, 1], [2, 2, 2], [3, 3, 3], [4, 4, 4]]
    scores = of([up, up[::-1]])
    (loss,) = losses(scores)
    assert loss == ('digits', 3.0, 0.0, 4.0, 1.5)
    (same,) = losses(of([up, up]))
    assert same == ('digits', 0.0, 0.0, 1.0, 1.5)
    with pytest.raises(ValueError, match="no task 'x' in the rows; there are"):
        losses(scores, by='x')


def test_noise_does_not_flatter_the_own_choice():
    """Where all backbones are equal, choosing by any task costs nothing on average."""
    rng = np.random.default_rng(0)
    lost = [losses(of(rng.normal(size=(2, 24, 3))))[0].lost for _ in range(400)]
    assert abs(np.mean(lost)) < 4 * np.std(lost) / np.sqrt(len(lost)) + 1e-9
    naive = [np.ptp(rng.normal(size=(24, 3)).mean(1)) / 2 for _ in range(50)]
    assert np.mean(naive) > 0.8  # what the winner's own figure would tell


def test_rows_become_scores():
    values, sizes = planted([0.5, 0.5], 6, seed=1)
    rows = as_rows(values, sizes, ('cifar10', 'digits'))
    found = scores_of(rows)
    assert found.of == 'splits' and found.names[0] == 'b000' and len(found.names) == 6
    np.testing.assert_allclose(found.values, values)
    # With several seeds these are the repetitions, the splits are averaged over.
    found = scores_of(as_rows(values, sizes, ('cifar10', 'digits'), seeds=(0, 2)))
    assert found.of == 'seeds'
    np.testing.assert_allclose(found.values, values.mean(2)[..., None] + [0.0, 2.0])


def test_what_is_not_whole_is_left_out():
    values, sizes = planted([0.5, 0.5], 6, seed=1)
    rows = as_rows(values, sizes, ('cifar10', 'digits'), seeds=(0, 1))
    del rows[0]
    del rows[4]['tasks']['digits']
    assert scores_of(rows).names == ['b001', 'b003', 'b004', 'b005']
    with pytest.raises(ValueError, match='four backbones or more, 3 of 5 have all seeds'):
        scores_of(rows[:-2])
