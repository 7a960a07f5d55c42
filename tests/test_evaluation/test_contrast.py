# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Alignment, uniformity and InfoNCE: closed forms, invariances, what has collapsed."""

import math

import pytest
import torch
from torch.nn.functional import normalize

from nasiam_mm.evaluation import contrast as module
from nasiam_mm.evaluation.contrast import alignment, contrast, is_on_a_line, uniformity


@pytest.mark.parametrize('angle', [0.0, 0.3, math.pi / 2, math.pi])
def test_alignment_of_views_turned_by_an_angle(angle):
    cos, sin = math.cos(angle), math.sin(angle)
    turn = torch.tensor([[cos, sin], [-sin, cos]]).double()
    first = torch.randn(30, 2).double()
    expected = 2 - 2 * cos
    assert alignment(first, first @ turn).item() == pytest.approx(expected, abs=1e-6)
    # Lengths do not count.
    longer = (first @ turn) * (1 + torch.rand(30, 1))
    assert alignment(first, longer).item() == pytest.approx(expected, abs=1e-6)


def test_uniformity_of_antipodal_points():
    point = torch.tensor([[3.0, 4.0]])
    assert uniformity(torch.cat([point, -point])).item() == pytest.approx(-8, abs=1e-12)
    assert uniformity(torch.cat([point, -point]), t=0.5).item() == pytest.approx(-2, abs=1e-12)
    # Ten at each end: 2 x 45 pairs at distance 0, 100 at distance 2.
    ends = torch.cat([point.repeat(10, 1), -2 * point.repeat(10, 1)])
    expected = math.log((90 + 100 * math.exp(-8)) / 190)
    assert uniformity(ends).item() == pytest.approx(expected, abs=1e-12)


def test_uniformity_of_orthogonal_points():
    assert uniformity(5 * torch.eye(7)).item() == pytest.approx(-4, abs=1e-12)


def test_uniformity_equals_its_definition_in_blocks_of_any_size(monkeypatch):
    z = torch.randn(23, 5)
    expected = (-2 * torch.pdist(normalize(z.double())).square()).exp().mean().log()
    assert uniformity(z).item() == pytest.approx(expected.item(), abs=1e-12)
    monkeypatch.setattr(module, 'ENTRIES', 23 * 4)
    assert uniformity(z).item() == pytest.approx(expected.item(), abs=1e-12)


@pytest.mark.parametrize('temperature', [0.1, 0.5, 2.0])
def test_contrast_of_orthogonal_images(temperature):
    z, count = 3 * torch.eye(6), 6
    right = math.log(math.exp(1 / temperature) + count - 1) - 1 / temperature
    assert contrast(z, 2 * z, temperature).item() == pytest.approx(right, abs=1e-12)
    # Each is taken for its neighbour.
    wrong = math.log(math.exp(1 / temperature) + count - 1)
    assert contrast(z, z.roll(1, 0), temperature).item() == pytest.approx(wrong, abs=1e-12)


def test_contrast_is_of_both_directions_in_blocks_of_any_size(monkeypatch):
    first, second = torch.randn(2, 11, 4).double()
    cosines = normalize(first) @ normalize(second).T / 0.3
    there, back = (-c.log_softmax(1).diagonal().mean() for c in (cosines, cosines.T))
    assert abs(there - back) > 1e-3
    expected = ((there + back) / 2).item()
    for entries in (2**20, 33):
        monkeypatch.setattr(module, 'ENTRIES', entries)
        assert contrast(first, second, 0.3).item() == pytest.approx(expected, abs=1e-12)
        assert contrast(second, first, 0.3).item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize('value', [0.0, 2.0])
def test_equal_features(value):
    z = torch.full((9, 5), value)
    assert uniformity(z).item() == pytest.approx(0, abs=1e-12)
    assert contrast(z, z, 0.2).item() == pytest.approx(math.log(9), abs=1e-12)
    assert alignment(z, z).item() == 0 and is_on_a_line(z)


def test_a_line_is_told_from_what_is_nearly_one():
    line = torch.randn(40, 1) * torch.randn(1, 12)
    assert is_on_a_line(line) and is_on_a_line(line[:5])
    assert not is_on_a_line(line + 0.01 * torch.randn(40, 12))
    assert not is_on_a_line(line + 1)


def test_turning_the_sphere_changes_nothing():
    first, second = torch.randn(2, 30, 6).double()
    turn = torch.linalg.qr(torch.randn(6, 6).double()).Q
    for measure in (alignment, lambda a, b: uniformity(a), lambda a, b: contrast(a, b, 0.2)):
        same = measure(first @ turn, second @ turn)
        torch.testing.assert_close(measure(first, second), same, rtol=1e-10, atol=1e-12)


def test_unusable_features():
    z = torch.randn(4, 3)
    for measure in (alignment, lambda a, b: contrast(a, b, 0.2)):
        with pytest.raises(ValueError, match=r'one shape, got \(4, 3\) and \(3, 3\)'):
            measure(z, z[:3])
    with pytest.raises(ValueError, match='temperature must be a positive number, got 0'):
        contrast(z, z, 0)
    with pytest.raises(ValueError, match='t must be a positive number, got -1'):
        uniformity(z, -1)
    z[0, 0] = math.inf
    for measure in (uniformity, is_on_a_line, lambda x: alignment(x, x)):
        with pytest.raises(ValueError, match='not finite'):
            measure(z)
