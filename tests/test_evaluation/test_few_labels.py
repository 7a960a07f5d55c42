# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Few labels: exactly balanced, seeded, and smaller fractions within larger ones."""

from itertools import pairwise

import pytest
import torch

from nasiam_mm.evaluation.few_labels import balanced_subset


@pytest.fixture
def labels():
    """1,000 labels of ten classes of unequal sizes, 91 to 109."""
    sizes = torch.tensor([91, 93, 95, 97, 99, 101, 103, 105, 107, 109])
    shuffled = torch.arange(10).repeat_interleave(sizes)
    return shuffled[torch.randperm(1000, generator=torch.Generator().manual_seed(1))]


@pytest.mark.parametrize(('fraction', 'each'), [(0.01, 1), (0.1, 10), (0.28, 28), (0.9, 90)])
def test_every_class_has_the_same_number(labels, fraction, each):
    chosen = balanced_subset(labels, 10, fraction, seed=0)
    assert torch.bincount(labels[chosen]).tolist() == [each] * 10
    assert chosen.tolist() == sorted(set(chosen.tolist()))


def test_a_smaller_fraction_is_within_a_larger_one(labels):
    curve = [set(balanced_subset(labels, 10, f, 3).tolist()) for f in (0.01, 0.05, 0.2, 0.5, 1)]
    assert all(small < large for small, large in pairwise(curve))


def test_the_seed_decides_and_nothing_else(labels):
    first = balanced_subset(labels, 10, 0.1, seed=0)
    torch.manual_seed(99)
    assert torch.equal(first, balanced_subset(labels, 10, 0.1, seed=0))
    other = balanced_subset(labels, 10, 0.1, seed=1)
    # 100 of 1,000 chosen twice at random share about 10.
    assert len(set(first.tolist()) & set(other.tolist())) < 30


def test_the_choice_is_uniform_within_a_class():
    labels = torch.arange(2).repeat(20)
    counts = torch.zeros(40)
    for seed in range(400):
        counts[balanced_subset(labels, 2, 0.25, seed)] += 1
    # Binomial(400, 1/4): 100 with deviation 8.7.
    assert counts.min() > 60
    assert counts.max() < 140


def test_all_labels_are_the_whole_set(labels):
    assert torch.equal(balanced_subset(labels, 10, 1, 0), torch.arange(1000))


@pytest.mark.parametrize(
    ('fraction', 'message'),
    [
        (0, 'above 0 and at most 1, got 0'),
        (1.01, 'at most 1, got 1.01'),
        (0.0004, 'less than one image of each; take 0.01 or more'),
        (0.95, 'needs 95 images of each class, class 0 has 91'),
    ],
)
def test_what_cannot_be_is_refused(labels, fraction, message):
    with pytest.raises(ValueError, match=message):
        balanced_subset(labels, 10, fraction, 0)
