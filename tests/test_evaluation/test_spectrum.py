# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""RankMe, LiDAR and alpha-ReQ: closed forms, invariances, what has collapsed."""

import math

import pytest
import torch

from nasiam_mm.evaluation.centred import centred
from nasiam_mm.evaluation.collapse import effective_rank
from nasiam_mm.evaluation.spectrum import alpha_req, lidar, rankme

EPS = 1e-7


def orthonormal(rows, columns, is_centred=False):
    drawn = torch.randn(rows, columns, dtype=torch.float64)
    return torch.linalg.qr(drawn - drawn.mean(0) if is_centred else drawn).Q


def expected_rank(shares):
    """The definition, written with math alone."""
    return math.exp(-sum((p + EPS) * math.log(p + EPS) for p in shares))


def test_rankme_of_orthogonal_rows_is_their_number():
    rows = orthonormal(32, 10).T
    assert rankme(rows).item() == pytest.approx(expected_rank([0.1] * 10), abs=1e-9)
    assert rankme(7 * rows.T).item() == pytest.approx(10, abs=1e-4)


def test_rankme_adds_to_every_share_and_effective_rank_does_not():
    # Singular values 4, 2, 2 and twice 0.
    z = orthonormal(9, 5) @ torch.diag(torch.tensor([4.0, 2, 2, 0, 0]).double())
    assert rankme(z).item() == pytest.approx(expected_rank([0.5, 0.25, 0.25, 0, 0]), abs=1e-9)
    assert effective_rank(z).item() == pytest.approx(2 * math.sqrt(2), abs=1e-9)
    assert 1 < (rankme(z) / effective_rank(z)).item() < math.exp(2e-6 * 5)


def crossed(between, within, count=3):
    """Views whose covariances are diagonal: means +-b_k e_k, views of each +-s_k e_k about it."""
    axes = torch.eye(count, dtype=torch.float64)
    means, steps = (torch.cat([x[:, None] * axes, -x[:, None] * axes]) for x in (between, within))
    return means[:, None] + steps


def test_lidar_of_known_covariances():
    between, within = torch.tensor([[3.0, 1.0, 2.0], [0.5, 0.1, 0.4]]).double()
    # n = q = 6: S_b = diag(2 b^2 / 5), S_w = diag(2 s^2 / 5 + delta).
    delta = 0.02
    ratios = (2 * between**2 / 5) / (2 * within**2 / 5 + delta)
    expected = expected_rank((ratios / ratios.sum()).tolist())
    assert lidar(crossed(between, within), delta).item() == pytest.approx(expected, abs=1e-9)
    # Where S_w is as wide as S_b in every direction, all count alike.
    alike = lidar(crossed(between, between), 1e-12)
    assert alike.item() == pytest.approx(3, abs=1e-5)


def test_lidar_equals_its_definition_and_ignores_axes_offset_and_order():
    views = torch.randn(20, 1, 6) * torch.linspace(1, 3, 6) + 0.3 * torch.randn(20, 4, 6)
    views = views.double()
    means = views.mean(1)
    s_b = torch.cov(means.T)
    s_w = sum((v - m).T @ (v - m) for v, m in zip(views, means, strict=True)) / (20 * 3)
    values, axes = torch.linalg.eigh(s_w + 1e-4 * torch.eye(6))
    root = axes @ torch.diag(values**-0.5) @ axes.T
    shares = torch.linalg.eigvalsh(root @ s_b @ root)
    expected = expected_rank((shares / shares.sum()).tolist())
    assert lidar(views).item() == pytest.approx(expected, abs=1e-9)
    moved = (views @ orthonormal(6, 6) + 5)[torch.randperm(20)][:, torch.randperm(4)]
    assert lidar(moved).item() == pytest.approx(expected, abs=1e-6)


def test_lidar_leaves_out_what_tells_views_of_one_image_apart():
    # Eight directions vary, between images only two of them do.
    means = torch.zeros(40, 1, 8)
    means[..., :2] = 2 * torch.randn(40, 1, 2)
    views = means + torch.randn(40, 30, 8)
    assert rankme(views.flatten(0, 1)) > 6
    assert lidar(views) < 4


@pytest.mark.parametrize('exponent', [0.0, 0.5, 1.0, 2.5])
@pytest.mark.parametrize(('first', 'last'), [(1, 50), (3, 50), (5, 12)])
def test_alpha_of_a_power_law_is_its_exponent(exponent, first, last):
    scale = torch.arange(1, 21).double() ** (-exponent / 2)
    z = 3 + (orthonormal(100, 20, is_centred=True) * scale) @ orthonormal(20, 20)
    assert alpha_req(z, first, last).item() == pytest.approx(exponent, abs=1e-6)
    assert alpha_req(9 * z, first, last).item() == pytest.approx(exponent, abs=1e-6)


def test_alpha_is_fitted_in_its_range_alone():
    scale = torch.arange(1, 21).double() ** -0.5
    scale[:2] *= torch.tensor([100.0, 40.0])
    z = orthonormal(100, 20, is_centred=True) * scale
    assert alpha_req(z).item() == pytest.approx(1, abs=1e-6)
    assert alpha_req(z, first=1).item() > 2


def test_alpha_passes_dead_features_over():
    z = torch.zeros(100, 30)
    z[:, 4:24] = torch.randn(100, 20)
    z[:, 24:] = 7
    torch.testing.assert_close(alpha_req(z), alpha_req(z[:, 4:24]), rtol=1e-6, atol=0)


NOISE = 2e-7 * torch.randn(60, 4, 16, generator=torch.Generator().manual_seed(1))
SIZE = 1 + torch.rand(60, 4, 1, generator=torch.Generator().manual_seed(2))
COLLAPSED = {
    'zeros': torch.zeros(60, 4, 16),
    'equal': torch.linspace(-1, 2, 16).expand(60, 4, 16),
    'equal but for rounding': torch.linspace(1, 2, 16) * (1 + NOISE),
    'one direction': SIZE * torch.linspace(1, 2, 16),
    'one line': SIZE * torch.linspace(1, 2, 16) + 30,
}


@pytest.mark.parametrize('kind', COLLAPSED)
def test_what_has_collapsed_is_worst(kind):
    views = COLLAPSED[kind]
    # A line that does not go through 0 has two directions, uncentred.
    assert rankme(views[:, 0]) <= (2 if kind == 'one line' else 1.001)
    assert lidar(views) <= 1.001
    assert alpha_req(views[:, 0]) == math.inf


def test_only_rounding_counts_as_constant():
    z = 5 + torch.randn(50, 4).double() * torch.tensor([1e-7, 1e-4, 1.0, 0.0])
    assert centred(z).any(0).tolist() == [False, True, True, False]


def test_unusable_features():
    with pytest.raises(ValueError, match=r'\(n, q, D\) with n and q from 2, got \(5, 1, 3\)'):
        lidar(torch.randn(5, 1, 3))
    with pytest.raises(ValueError, match='delta must be a positive number, got 0'):
        lidar(torch.randn(5, 2, 3), 0)
    with pytest.raises(ValueError, match=r'\(3, 9\) have 2 eigenvalues at most; it needs 4'):
        alpha_req(torch.randn(3, 9))
    with pytest.raises(ValueError, match='first must be from 1 and below last, got 5 and 5'):
        alpha_req(torch.randn(30, 9), 5, 5)
    broken = torch.randn(6, 2, 9)
    broken[1, 1, 3] = math.nan
    for measure in (lidar, lambda x: rankme(x[:, 1]), lambda x: alpha_req(x[:, 1])):
        with pytest.raises(ValueError, match='not finite'):
            measure(broken)
