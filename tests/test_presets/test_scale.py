# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims: batches fit memory and parts, lengths a budget; both say so by numbers that add up."""

import pytest

from nasiam_mm.presets import Machine, choose_scale, find_backbone, fit_size
from nasiam_mm.presets.recipe import view_load

CPU, GPU = Machine('cpu', 8.0, 2, False), Machine('cuda', 80.0, 16, True)
SMALL = find_backbone('resnet18_small', 32)
LARGE = find_backbone('resnet50', 224)


@pytest.mark.parametrize('images', [4, 5, 17, 60, 300, 10_000, 1_000_000])
@pytest.mark.parametrize('machine', [CPU, GPU])
@pytest.mark.parametrize('has_val', [False, True])
def test_every_part_holds_a_batch_and_no_image_is_used_twice(images, machine, has_val):
    scale = choose_scale(images, 32, SMALL, machine, has_val)
    assert 2 * scale.weights + scale.val <= images
    assert scale.weights >= scale.batch or (images < 5 and not has_val)
    assert (scale.val == 0) == has_val and scale.val <= 5000
    assert scale.batch & (scale.batch - 1) == 0 and scale.batch >= 2
    assert scale.batch <= max(2, scale.weights // 2)


def test_the_memory_bounds_the_batch():
    for gib in (2.0, 4.0, 8.0, 80.0):
        scale = choose_scale(100_000, 224, LARGE, Machine('cuda', gib, 16, True))
        kept = scale.batch * LARGE.numbers * 2 * 2 * 4 / 2**30
        assert kept <= gib / 2 or scale.batch == 2
        assert 2 * kept > gib / 2 or scale.batch == 512


def test_more_views_take_more_memory_and_time():
    two, three = (
        choose_scale(100_000, 224, LARGE, Machine('cuda', 40.0, 16, True), False, views)
        for views in (2.0, 3.0)
    )
    assert three.batch < two.batch
    long = [choose_scale(3000, 32, SMALL, CPU, False, views).epochs for views in (2.0, 3.0)]
    assert long[1] == pytest.approx(long[0] * 2 / 3, abs=1)
    assert [view_load(name) for name in ('simclr', 'swav')] == [2.0, 3.0]


def test_lengths_follow_the_budget_and_the_minutes_are_theirs():
    short = choose_scale(100_000, 224, LARGE, CPU)
    assert (short.search_epochs, short.epochs) == (5, 5)  # the least
    assert short.minutes[1] == pytest.approx(5 * 2 * short.weights * LARGE.flops * 6 / 8e10 / 60)
    middle = choose_scale(3000, 32, SMALL, CPU)
    assert 5 < middle.epochs < 200 and middle.minutes[1] == pytest.approx(10, rel=0.1)
    assert choose_scale(100, 32, SMALL, CPU).epochs == 200
    assert choose_scale(100, 32, SMALL, GPU).epochs == 800


def test_what_memory_does_not_hold_is_read_each_time():
    assert choose_scale(5000, 224, LARGE, CPU).is_resident
    large = choose_scale(8000, 224, LARGE, CPU)
    assert not large.is_resident and large.workers == 1
    assert choose_scale(8000, 224, LARGE, GPU).is_resident


def test_sizes():
    assert [fit_size(n, GPU) for n in (20, 32, 47, 100, 224)] == [32, 32, 32, 96, 224]
    assert (
        fit_size(224, CPU) == 64 and fit_size(224, CPU, 224) == 224 and fit_size(30, CPU, 50) == 50
    )
    for wrong in (31, 225, -1):
        with pytest.raises(ValueError, match='--size must be from 32 to 224'):
            fit_size(64, CPU, wrong)
