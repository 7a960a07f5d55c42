# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
import numpy as np
import pytest

from benchmarks.tasks.splits import SPLITS, split_pool
from benchmarks.tasks.task import Pool


def pool(labels, regions=None):
    images = np.zeros((len(labels), 3, 32, 32), np.uint8)
    return Pool(images, np.array(labels), None if regions is None else np.array(regions))


def test_parts_are_disjoint_and_every_image_is_tested_on_once():
    labels = np.repeat([0, 1, 2], [60, 120, 31])
    splits = split_pool(pool(labels), 0)
    assert len(splits) == SPLITS
    for split in splits:
        together = np.concatenate(split)
        assert sorted(together) == list(range(len(labels)))
        assert all(part.tolist() == sorted(part) for part in split)
        # A half, a sixth and a third of every class, to a cell.
        for label, count in enumerate([60, 120, 31]):
            sizes = [int((labels[part] == label).sum()) for part in split]
            assert np.abs(np.array(sizes) - count * np.array([1 / 2, 1 / 6, 1 / 3])).max() < 3
    tested = np.concatenate([split.test for split in splits])
    assert sorted(tested) == list(range(len(labels)))


@pytest.mark.parametrize('mixed', [False, True])
def test_a_region_is_in_one_part(mixed):
    regions = np.repeat(np.arange(24), 10)
    labels = np.tile(np.arange(10), 24) if mixed else regions // 12
    for split in split_pool(pool(labels, regions), 1):
        found = [set(regions[part]) for part in split]
        assert not (found[0] & found[1] or found[0] & found[2] or found[1] & found[2])
        assert set().union(*found) == set(range(24))
        assert all(set(labels[part]) == set(labels) for part in split)


def test_a_seed_decides_the_splits():
    one, same, other = (split_pool(pool([0, 1] * 60), seed) for seed in (0, 0, 1))
    for first, second in zip(one, same, strict=True):
        assert all((a == b).all() for a, b in zip(first, second, strict=True))
    assert any(not np.array_equal(a.test, b.test) for a, b in zip(one, other, strict=True))


def test_what_cannot_be_split_is_refused():
    with pytest.raises(ValueError, match='5 images or regions of class 1 are too few'):
        split_pool(pool([0] * 10 + [1] * 5), 0)
    with pytest.raises(ValueError, match='4 regions are too few for 3 splits; give 6'):
        split_pool(pool([0, 1] * 8, np.repeat(np.arange(4), 4)), 0)


def test_a_pool_of_another_form_is_refused():
    with pytest.raises(ValueError, match=r'must be uint8 \(N, 3, 32, 32\), got float64'):
        Pool(np.zeros((2, 3, 32, 32)), np.zeros(2, int))
    with pytest.raises(ValueError, match=r'labels of a task must be integers \(2,\)'):
        Pool(np.zeros((2, 3, 32, 32), np.uint8), np.zeros(3, int))
