# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Closed forms of the two measures of collapse."""

import math

import pytest
import torch

from nasiam_mm.evaluation.collapse import channel_std, effective_rank


def test_std_of_signed_unit_vectors_is_exactly_one():
    # Rows +e_i and -e_i: each channel has mean 0 and variance 2 / 2D.
    z = torch.cat([torch.eye(6), -torch.eye(6)])
    assert channel_std(z).item() == pytest.approx(1.0, abs=1e-15)


def test_std_of_unit_vectors():
    # Rows e_i: variance 1/D - 1/D^2 per channel.
    assert channel_std(torch.eye(6)).item() == pytest.approx(math.sqrt(5 / 6), abs=1e-15)


def test_std_ignores_length():
    z = torch.randn(20, 5)
    scale = torch.rand(20, 1) * 1e3 + 1e-3
    torch.testing.assert_close(channel_std(z * scale), channel_std(z), rtol=1e-6, atol=0)


@pytest.mark.parametrize('constant', [torch.ones(8), torch.randn(8), torch.zeros(8)])
def test_std_of_constant_is_zero(constant):
    assert channel_std(constant.repeat(16, 1)).item() < 1e-15


def test_isotropic_limit():
    z = torch.randn(20000, 16)
    assert channel_std(z).item() == pytest.approx(1.0, abs=0.01)
    assert effective_rank(z).item() == pytest.approx(16.0, abs=0.05)


def test_rank_of_orthonormal_rows_is_their_number():
    q, _ = torch.linalg.qr(torch.randn(32, 10, dtype=torch.float64))
    assert effective_rank(q.T).item() == pytest.approx(10.0, abs=1e-9)  # (10, 32)
    assert effective_rank(7 * q).item() == pytest.approx(10.0, abs=1e-9)  # (32, 10)


def test_rank_of_known_singular_values():
    # p = 1/2, 1/4, 1/4: entropy 1.5 ln 2, effective rank 2 sqrt(2).
    left, _ = torch.linalg.qr(torch.randn(9, 3, dtype=torch.float64))
    right, _ = torch.linalg.qr(torch.randn(5, 3, dtype=torch.float64))
    z = left @ torch.diag(torch.tensor([4.0, 2.0, 2.0], dtype=torch.float64)) @ right.T
    assert effective_rank(z).item() == pytest.approx(2 * math.sqrt(2), abs=1e-6)


@pytest.mark.parametrize('shape', [(64, 16), (16, 64), (20, 20)])
def test_rank_equals_definition_by_svd(shape):
    z = torch.randn(shape) * torch.logspace(0, -4, shape[1])
    sigma = torch.linalg.svdvals(z.double())
    p = sigma / sigma.sum()
    expected = torch.exp(-(p * p.log()).sum())
    torch.testing.assert_close(effective_rank(z), expected, rtol=1e-6, atol=0)


def test_rank_of_parallel_embeddings_is_one():
    assert effective_rank(torch.ones(16, 8)).item() == 1.0
    outer = torch.randn(64, 1) @ torch.randn(1, 32)
    assert effective_rank(outer).item() == pytest.approx(1.0, abs=1e-4)


def test_rank_of_zeros_is_zero():
    assert effective_rank(torch.zeros(16, 8)).item() == 0.0


@pytest.mark.parametrize('scale', [1e-200, 1e-30, 1e30, 1e200])
def test_rank_ignores_scale(scale):
    z = torch.randn(24, 8, dtype=torch.float64)
    torch.testing.assert_close(effective_rank(z * scale), effective_rank(z), rtol=1e-9, atol=0)


def test_bfloat16_embeddings():
    z = torch.randn(64, 8).bfloat16()
    assert torch.equal(channel_std(z), channel_std(z.float()))
    assert torch.equal(effective_rank(z), effective_rank(z.float()))


@pytest.mark.parametrize('measure', [channel_std, effective_rank])
def test_unusable_embeddings(measure):
    with pytest.raises(ValueError, match=r'2 row\(s\), got \(1, 8\)'):
        measure(torch.randn(1, 8))
    with pytest.raises(ValueError, match=r'2 row\(s\), got \(4, 8, 2\)'):
        measure(torch.randn(4, 8, 2))
    z = torch.randn(4, 8)
    z[1, 2] = math.nan
    with pytest.raises(ValueError, match='1 of 4 embeddings are not finite'):
        measure(z)
