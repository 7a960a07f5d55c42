# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Nearest neighbours: a tiny example by hand, ties by index, chunks without effect.

What float32 finds and float64 decides is what float64 alone would have found, to the bit, however
close the rows are; where no shortlist can hold all that are as near as the last, it says so.
"""

import pytest
import torch
import torch.nn.functional as F
from torch.profiler import ProfilerActivity, profile

from nasiam_mm.evaluation import neighbours
from nasiam_mm.evaluation.neighbours import Bank, nearest_neighbours


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
    monkeypatch.setattr(neighbours, 'ENTRIES', 20)
    chunks = nearest_neighbours(query, bank, 6)
    assert torch.equal(whole[0], chunks[0])
    assert torch.equal(whole[1], chunks[1])


@pytest.mark.parametrize(
    ('width', 'k', 'message'), [(2, 1, 'width 2 and bank 3'), (3, 9, 'k = 9'), (3, 0, 'k = 0')]
)
def test_what_does_not_fit_is_refused(width, k, message):
    with pytest.raises(ValueError, match=message):
        nearest_neighbours(torch.randn(2, width), torch.randn(8, 3), k)


@pytest.mark.parametrize('dtype', [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize('spread', [1.0, 1e-2, 1e-4, 1e-6])
def test_float64_alone_would_find_the_same(spread, dtype):
    # At a spread of 1e-2 rows near the last place differ by less than float32 is sure of.
    centre = torch.randn(1, 96, dtype=torch.float64)
    bank = (centre + spread * torch.randn(700, 96, dtype=torch.float64)).to(dtype)
    query = (centre + spread * torch.randn(30, 96, dtype=torch.float64)).to(dtype)
    units = F.normalize(query.double()), F.normalize(bank.double())
    every = ((units[0] @ units[1].T) * 2**24).round() / 2**24
    cosine, index = every.sort(dim=1, descending=True, stable=True)
    found = nearest_neighbours(query, bank, 50)
    assert torch.equal(found[0], index[:, :50])
    assert torch.equal(found[1], cosine[:, :50])


@pytest.mark.parametrize('precision', ['highest', 'medium'])
def test_a_shortlist_says_whether_it_is_whole(precision):
    bank = torch.randn(500, 64)
    bank[100:] = bank[:1]  # 401 equal rows
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        near = Bank(bank, 64).shortlist(bank[:3], 5)
        assert torch.get_float32_matmul_precision() == precision
    finally:
        torch.set_float32_matmul_precision(before)
    assert near.is_whole.tolist() == [False, True, True]
    assert near.index[1, 0] == 1 and near.cosine[1, 0] == 1
    # float32 is left out of nothing: as many as there are rows are always the whole.
    assert Bank(bank, 64).shortlist(bank[:3], 500).is_whole.all()


@pytest.mark.parametrize('length', [1e-30, 1e-13, 1e30])
def test_lengths_do_not_matter_until_they_are_next_to_nothing(length):
    bank = torch.randn(40, 8)
    index, cosine = nearest_neighbours(bank[:4], bank * length, 3)
    expected = nearest_neighbours(bank[:4], bank, 3)
    if length > 1e-12:
        assert torch.equal(index, expected[0]) and (cosine - expected[1]).abs().max() < 1e-6
    else:  # as F.normalize has it, 1e-12 is the least length to divide by
        scale = F.normalize(bank.double() * length).norm(dim=1)
        assert (cosine / expected[1] <= scale.max() + 1e-6).all()


@pytest.mark.parametrize('block', [64, 300])
def test_steps_of_a_bank_change_nothing(block, monkeypatch):
    # The steps that a CPU multiplies at a time; a bank in order of its similarity fills them all.
    query, bank = torch.randn(5, 16), torch.randn(900, 16)
    bank = bank[(bank @ query[0]).argsort()]
    whole = nearest_neighbours(query, bank, 7)
    monkeypatch.setattr(neighbours, '_STEP', 8)
    near = Bank(bank, block).shortlist(query, 7)
    assert near.is_whole.all()
    assert torch.equal(near.index[:, :7], whole[0])
    assert torch.equal(near.cosine[:, :7].double(), whole[1])


@pytest.mark.parametrize('block', [100, 700])
def test_a_small_bank_at_once_is_as_in_steps(block, monkeypatch):
    query, bank = torch.randn(5, 16), torch.randn(700, 16)
    calls = []
    above = neighbours._above
    monkeypatch.setattr(neighbours, '_above', lambda *of: calls.append(of) or above(*of))
    whole = Bank(bank, block).shortlist(query, 7)
    assert len(calls) == 700 // block
    monkeypatch.setattr(neighbours, '_STEP', 8)
    monkeypatch.setattr(neighbours, '_SMALL', 0)
    steps = Bank(bank, block).shortlist(query, 7)
    assert len(calls) > 700 // block + 7
    for one, other in zip(whole, steps, strict=True):
        assert torch.equal(one[..., :7], other[..., :7])


def test_lengths_leave_no_memory_scattered(monkeypatch):
    """Nothing is made for a piece of the bank that lives longer than what is freed with it."""
    bank = torch.randn(2000 + 64).as_strided((2000, 64), (1, 1))
    monkeypatch.setattr(neighbours, '_CACHED', 640)
    with profile(
        activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True
    ) as profiler:
        found = Bank(bank, 100).lengths
    made = [event for event in profiler.events() if event.self_cpu_memory_usage > 0]
    assert torch.equal(found, bank.double().norm(dim=1))
    assert len(made) <= 4  # for 200 pieces
