# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Nearest neighbours: a tiny example by hand, ties by index, chunks without effect."""

import pytest
import torch

from nasiam_mm.evaluation import knn
from nasiam_mm.evaluation.knn import nearest_neighbours


def test_by_hand():
    bank = torch.tensor([[1.0, 0], [0, 5], [1, 1], [-1, 0]])
    index, cosine = nearest_neighbours(torch.tensor([[2.0, 0.0], [0.0, 1.0]]), bank, 3)
    assert index.tolist() == [[0, 2, 1], [1, 2, 0]]
    expected = torch.tensor([[1, 0.5**0.5, 0]] * 2, dtype=torch.float64)
    torch.testing.assert_close(cosine, expected, atol=1e-7, rtol=0)


def test_equals_come_by_index():
    bank = torch.randn(5, 3).repeat(4, 1)
    index, _ = nearest_neighbours(bank[:5], bank, 4)
    assert index.tolist() == [[row, row + 5, row + 10, row + 15] for row in range(5)]


def test_chunks_change_nothing(monkeypatch):
    query, bank = torch.randn(7, 3), torch.randn(30, 3)
    whole = nearest_neighbours(query, bank, 6)
    monkeypatch.setattr(knn, 'ENTRIES', 20)
    chunks = nearest_neighbours(query, bank, 6)
    assert torch.equal(whole[0], chunks[0])
    assert torch.equal(whole[1], chunks[1])


@pytest.mark.parametrize(
    ('width', 'k', 'message'), [(2, 1, 'width 2 and bank 3'), (3, 9, 'k = 9'), (3, 0, 'k = 0')]
)
def test_what_does_not_fit_is_refused(width, k, message):
    with pytest.raises(ValueError, match=message):
        nearest_neighbours(torch.randn(2, width), torch.randn(8, 3), k)
