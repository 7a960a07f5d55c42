# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Leave-one-out neighbours against a loop over the images."""

import math

import pytest
import torch

from nasiam_mm.evaluation.leave_one_out import leave_one_out_accuracy


@pytest.mark.parametrize(('k', 'temperature'), [(1, 0.1), (5, 0.1), (5, 1.0), (29, 0.05)])
def test_it_counts_as_a_loop_does(k, temperature):
    torch.manual_seed(k)
    labels = torch.randint(4, (30,))
    bank = torch.nn.functional.one_hot(labels, 4) + 0.8 * torch.randn(30, 4)
    query = bank + 0.3 * torch.randn(30, 4)
    right = 0
    for n in range(30):
        cosines = {
            m: float(torch.cosine_similarity(query[n].double(), bank[m].double(), dim=0))
            for m in range(30)
            if m != n
        }
        votes = [0.0] * 4
        for m in sorted(cosines, key=cosines.get, reverse=True)[:k]:
            votes[labels[m]] += math.exp(cosines[m] / temperature)
        right += votes.index(max(votes)) == labels[n]
    found = leave_one_out_accuracy(query, bank, labels, k, temperature)
    assert found == pytest.approx(100 * right / 30)
    assert 20 < found < 100 or k == 29


def test_an_image_is_no_neighbour_of_its_own():
    # Two of each class, far apart: the nearest other image is of another class.
    features = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.1], [-1.0, 0.1]])
    assert leave_one_out_accuracy(features, features, torch.tensor([0, 0, 1, 1]), 1) == 0
    assert leave_one_out_accuracy(features, features, torch.tensor([0, 1, 0, 1]), 1) == 100


@pytest.mark.parametrize('k', [0, 4])
def test_neighbours_that_cannot_be(k):
    features = torch.randn(4, 2)
    with pytest.raises(ValueError, match='k must be from 1 to 3, the other images; got'):
        leave_one_out_accuracy(features, features, torch.tensor([0, 1, 0, 1]), k)
