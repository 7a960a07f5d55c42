# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Where a scalar stands, how long a run took, and that fewer points keep the extremes."""

import json
import math
import random

import pytest
from mmengine.registry import RUNNERS

from nasiam_mm.report.page.facts import read_facts
from nasiam_mm.report.page.scalars import curves_of, minutes_of, sampled, thinned
from tests.reduced import reduced

ENTRIES = [
    {'loss': 5.0, 'time': 0.5, 'epoch': 1, 'iter': 10, 'step': 10},
    {'loss': 4.0, 'time': 1.0, 'epoch': 1, 'iter': 20, 'step': 20},
    {'loss': math.nan, 'time': 1.0, 'epoch': 2, 'iter': 30, 'step': 30},
    {'knn/val_top1': 33, 'epoch': 1, 'step': 20},
    {'health/top': 0.3, 'step': 2},
    {'odd': True, 'word': 'x', 'step': 3},
    {'lost': 1.0},
]


def test_every_kind_of_entry_has_its_epoch():
    found = curves_of(ENTRIES, per_epoch=20)
    assert found['loss'] == [(0.5, 5.0), (1.0, 4.0)]
    assert found['knn/val_top1'] == [(1.0, 33.0)] and found['health/top'] == [(2.0, 0.3)]
    assert not {'odd', 'word', 'lost', 'epoch', 'iter', 'step'} & set(found)


@pytest.mark.parametrize('by_epoch', [False, True])
def test_validations_of_a_real_run_stand_at_their_epochs(tmp_path, by_epoch):
    cfg = reduced('benchmarks/linear/r18_cifar10_linear_demo', tmp_path, epochs=3)
    cfg.default_hooks.logger.update(interval=1, log_metric_by_epoch=by_epoch)
    cfg.train_cfg.val_interval = 1
    del cfg.default_hooks['frozen']  # it asks for pretrained weights
    RUNNERS.build(cfg).train()
    [file] = tmp_path.glob('*/vis_data/scalars.json')
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    [steps] = {row['iter'] / 3 for row in rows[-2:] if 'iter' in row}
    validated = [row for row in rows if 'accuracy/top1' in row]
    # As mmengine logs them: the axis is the reader's to find.
    assert all(not {'epoch', 'iter'} & set(row) for row in validated)
    assert [row['step'] for row in validated] == [n if by_epoch else n * steps for n in (1, 2, 3)]
    facts = read_facts(tmp_path)
    assert facts.per_epoch == steps > 3
    for per_epoch in (int(steps), None):  # None: where owner.json is gone
        found = curves_of(facts.entries, per_epoch)
        assert [place for place, _ in found['accuracy/top1']] == [1.0, 2.0, 3.0]
    assert [place for place, _ in facts.curves['loss']] == pytest.approx(
        [n / steps for n in range(1, round(3 * steps) + 1)]
    )
    assert facts.epochs[0] == 3


def test_without_the_iterations_of_an_epoch_its_last_value_counts():
    assert curves_of(ENTRIES, None)['loss'] == [(1.0, 4.0)]
    assert minutes_of(ENTRIES, None) == []


def test_minutes_are_the_logged_time_times_the_iterations():
    assert minutes_of(ENTRIES, 20) == [(0.5, 5 / 60), (1.0, 15 / 60), (1.5, 25 / 60)]


def test_thinned_keeps_ends_and_extremes():
    rng = random.Random(0)
    points = [(float(n), rng.random()) for n in range(5000)]
    points[1234], points[3210] = (1234.0, 9.0), (3210.0, -9.0)
    few = thinned(points, 240)
    assert len(few) <= 240 and few == sorted(few) and set(few) <= set(points)
    assert (few[0], few[-1]) == (points[0], points[-1])
    assert {(1234.0, 9.0), (3210.0, -9.0)} <= set(few)
    assert thinned(points[:240], 240) == points[:240]


def test_sampled():
    assert sampled(3, 5) == [0, 1, 2]
    some = sampled(1001, 13)
    assert (some[0], some[-1], len(some)) == (0, 1000, 13) and some == sorted(set(some))
