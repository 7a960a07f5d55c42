# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims: gradients of the terms of z are the written ones, and finite where z collapses."""

import pytest
import torch

from nasiam_mm.evaluation.collapse import channel_std, effective_rank
from nasiam_mm.search.gradient.embedding_terms import LogRank, VarianceHinge
from tests.test_search.alpha_steps import owner_of_alpha, step_of

TERMS = VarianceHinge(1.0), LogRank(1.0)


def embeddings(rows=12, columns=5, dtype=torch.double):
    z = torch.randn(rows, columns, dtype=dtype) + 0.5  # channels on both sides of 1
    return z.requires_grad_(True)


def test_hinge_is_its_formula():
    z = embeddings()
    n, d = z.shape
    value = VarianceHinge(1.0).of(z)
    norm = z.detach().norm(dim=1, keepdim=True)
    u = z.detach() / norm
    std = u.std(0, correction=0)
    below = std * d**0.5 < 1
    assert 0 < below.sum() < d
    assert value.item() == pytest.approx(float((1 - std * d**0.5)[below].sum() / d), rel=1e-12)
    to_u = -(d**0.5) / d * below.double() * (u - u.mean(0)) / (n * std)
    expected = (to_u - u * (u * to_u).sum(1, keepdim=True)) / norm
    assert torch.allclose(torch.autograd.grad(value, z)[0], expected, rtol=1e-10, atol=1e-14)
    assert torch.autograd.gradcheck(VarianceHinge(1.0).of, z)


def test_hinge_measures_as_the_collapse_figures_do():
    z = torch.randn(64, 8, dtype=torch.double) + 2
    assert VarianceHinge(1.0).of(z).item() == pytest.approx(1 - channel_std(z).item(), rel=1e-12)


@pytest.mark.parametrize('shape', [(12, 5), (5, 12)])
def test_log_rank_is_its_formula(shape):
    z = embeddings(*shape)
    value = LogRank(1.0).of(z)
    u, sigma, v = torch.linalg.svd(z.detach(), full_matrices=False)
    total = sigma.sum()
    share = sigma / total
    p = share + 1e-7
    assert value.item() == pytest.approx(float((p * p.log()).sum()), rel=1e-9)
    assert value.item() == pytest.approx(-effective_rank(z.detach()).log().item(), abs=1e-5)
    to_p = p.log() + 1
    to_sigma = (to_p - (share * to_p).sum()) / total
    gradient = torch.autograd.grad(value, z)[0]
    assert torch.allclose(gradient, u @ to_sigma.diag() @ v, rtol=1e-8, atol=1e-12)
    assert torch.autograd.gradcheck(LogRank(1.0).of, z)


@pytest.mark.parametrize('term', TERMS, ids=['VarianceHinge', 'LogRank'])
@pytest.mark.parametrize('kind', ['alike', 'zero', 'one zero row', 'rank one', 'tiny', 'huge'])
def test_gradients_of_what_has_collapsed_are_finite(term, kind):
    z = torch.randn(6, 4)
    if kind == 'alike':
        z = z[:1].repeat(6, 1)
    elif kind == 'zero':
        z = torch.zeros(6, 4)
    elif kind == 'one zero row':
        z[2] = 0
    elif kind == 'rank one':
        z = z[:, :1] * z[:1]
    else:
        z = z * {'tiny': 1e-18, 'huge': 1e18}[kind]
    z.requires_grad_(True)
    value = term.of(z)
    gradient = torch.autograd.grad(value, z)[0]
    assert value.isfinite() and gradient.isfinite().all()
    if kind in ('alike', 'zero'):
        worst = 1.0 if type(term) is VarianceHinge else 0.0
        assert value.item() == pytest.approx(worst, abs=2e-5)


def test_an_overflow_is_no_crash():
    z = embeddings(dtype=torch.float32).detach().clone()
    z[0, 0] = float('inf')
    assert LogRank(1.0).of(z.requires_grad_(True)).isnan()


@pytest.mark.parametrize('term', TERMS, ids=['VarianceHinge', 'LogRank'])
def test_bfloat16_networks_are_measured_in_float32(term):
    z = torch.randn(16, 8).bfloat16()
    with torch.autocast('cpu', torch.bfloat16):
        value = term.value(step_of(owner_of_alpha(), embeddings=[z, z.flip(0)]))
    assert value.dtype == torch.float32 and torch.allclose(value, term.of(z.float()))


def test_no_embedding_is_told():
    with pytest.raises(RuntimeError, match='loss ran no model.embedding, whose output LogRank is'):
        LogRank(1.0).value(step_of(owner_of_alpha()))
