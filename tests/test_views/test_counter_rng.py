# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims: numbers are a SplitMix64 hash of (seed, stream, draw) alone, and look random."""

import numpy as np
import pytest
import torch
from scipy import stats

from nasiam_mm.views.counter_rng import CounterStream, counter_uniform, mix64

GOLDEN = 0x9E3779B97F4A7C15
MASK = 2**64 - 1
SEEDS = [0, 1, 2, -1, 1234567, 2**63 - 1, -(2**63), 0x0123456789ABCDEF]


def python_mix(z):
    """SplitMix64's output function on Python's unbounded integers."""
    z &= MASK
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & MASK
    return z ^ (z >> 31)


def python_uniform(seed, draw, stream):
    key = python_mix(python_mix(seed) + GOLDEN * (stream + 1))
    return (python_mix(key + GOLDEN * (draw + 1)) >> 40) / 2**24


def chi2_pairs(a, b, bins=16):
    """p-value of 'two samples in [0, 1) are jointly uniform on the square'."""
    counts, _, _ = np.histogram2d(a, b, bins=bins, range=[[0, 1], [0, 1]])
    return stats.chisquare(counts.ravel()).pvalue


def test_mix64_gives_the_published_outputs_of_splitmix64():
    state = torch.tensor([(1234567 + k * GOLDEN + 2**63) % 2**64 - 2**63 for k in range(1, 6)])
    assert [x % 2**64 for x in mix64(state).tolist()] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


@pytest.mark.parametrize('stream', [0, 1, 7, 10**6])
def test_equals_python_integers(stream):
    ours = counter_uniform(torch.tensor(SEEDS), 9, stream)
    expected = [[python_uniform(seed, draw, stream) for draw in range(9)] for seed in SEEDS]
    assert ours.dtype == torch.float32
    assert ours.tolist() == expected


def test_numpy_draws_the_same():
    streams = np.array([0, 1, 7, 10**6, 3, 0, 1, 2])
    for stream in (5, streams):
        ours = counter_uniform(np.array(SEEDS), 9, stream)
        tensors = (
            torch.tensor(SEEDS),
            9,
            stream if stream is not streams else torch.tensor(streams),
        )
        assert ours.dtype == np.float32
        assert np.array_equal(ours, counter_uniform(*tensors).numpy())
    with pytest.raises(ValueError, match='int64 vector'):
        counter_uniform(np.array([1.0]), 3)


@pytest.mark.parametrize('stream', [0, 1, 10**6])
def test_numbers_one_by_one_are_the_same(stream):
    ours = [[CounterStream(seed, stream)[draw] for draw in (0, 3, 40)] for seed in SEEDS]
    expected = counter_uniform(torch.tensor(SEEDS), 41, stream)
    assert ours == expected[:, [0, 3, 40]].tolist()


def test_each_row_may_have_its_stream():
    streams = torch.tensor([0, 1, 7, 10**6, 3, 0, 1, 2])
    ours = counter_uniform(torch.tensor(SEEDS), 5, streams)
    for row, seed, stream in zip(ours, SEEDS, streams.tolist(), strict=True):
        assert torch.equal(row, counter_uniform(torch.tensor([seed]), 5, stream)[0])


def test_fixed_vector():
    """These numbers are a format: a change of them changes every seeded run."""
    ours = (counter_uniform(torch.tensor([0, 42]), 3, stream=1) * 2**24).long()
    assert ours.tolist() == [[4634430, 3621671, 14748920], [6713915, 14961357, 14551828]]


def test_a_row_depends_on_its_seed_only_and_a_prefix_not_on_the_length():
    seeds = torch.arange(-50, 50) * 7919
    full = counter_uniform(seeds, 40, stream=3)
    shuffle = torch.randperm(100)
    assert torch.equal(counter_uniform(seeds[shuffle], 40, stream=3), full[shuffle])
    assert torch.equal(counter_uniform(seeds[5:6], 11, stream=3), full[5:6, :11])


def test_range_and_resolution():
    u = counter_uniform(torch.arange(20000), 50)
    assert u.min() >= 0 and u.max() < 1
    assert u.min() < 1e-5 and u.max() > 1 - 1e-5
    assert torch.equal(u * 2**24, (u * 2**24).round())


@pytest.mark.parametrize('seeds', [torch.arange(4000), torch.arange(4000) << 32])
@pytest.mark.parametrize('stream', [0, 1])
def test_uniform(seeds, stream):
    u = counter_uniform(seeds, 30, stream).numpy()
    assert stats.kstest(u.ravel(), 'uniform').pvalue > 1e-3
    per_draw = [stats.kstest(column, 'uniform').pvalue for column in u.T]
    assert min(per_draw) > 1e-3 / len(per_draw)
    per_seed = stats.kstest(u.mean(axis=1), stats.norm(0.5, (1 / 12 / 30) ** 0.5).cdf)
    assert per_seed.pvalue > 1e-3


def test_draws_streams_and_consecutive_seeds_are_independent():
    u = counter_uniform(torch.arange(20001), 4).double().numpy()
    other = counter_uniform(torch.arange(20001), 4, stream=1).double().numpy()
    pairs = {
        'draws': (u[:, 0], u[:, 1]),
        'distant draws': (u[:, 0], u[:, 3]),
        'streams': (u[:, 0], other[:, 0]),
        'stream against next draw': (u[:, 1], other[:, 0]),
        'consecutive seeds': (u[:-1, 0], u[1:, 0]),
        'seed against next draw': (u[:-1, 1], u[1:, 0]),
    }
    for name, (a, b) in pairs.items():
        assert abs(np.corrcoef(a, b)[0, 1]) < 4 / len(a) ** 0.5, name
        assert chi2_pairs(a, b) > 1e-3, name


def test_one_bit_of_the_seed_turns_half_of_the_output():
    seeds = counter_uniform(torch.arange(300), 1).mul(2**24).long().squeeze(1) * GOLDEN_SIGNED
    base = (counter_uniform(seeds, 1) * 2**24).long()
    for bit in range(64):
        flipped = seeds ^ ((1 << bit) - (1 << 64 if bit == 63 else 0))
        turned = base ^ (counter_uniform(flipped, 1) * 2**24).long()
        share = sum(bin(x).count('1') for x in turned.flatten().tolist()) / (24 * 300)
        assert abs(share - 0.5) < 5 * 0.5 / (24 * 300) ** 0.5, bit


GOLDEN_SIGNED = GOLDEN - 2**64


@pytest.mark.parametrize('seeds', [torch.rand(3), torch.zeros(2, 2, dtype=torch.int64)])
def test_refuses_what_is_not_a_vector_of_integers(seeds):
    with pytest.raises(ValueError, match='seeds must be an int64 vector'):
        counter_uniform(seeds, 1)
