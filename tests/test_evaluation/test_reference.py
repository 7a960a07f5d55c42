# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The reference head: what it is a function of, and what it takes away."""

import pytest
import torch
from torch.nn.functional import normalize

from nasiam_mm.evaluation.reference import reference_head


def cosines(z):
    return normalize(z) @ normalize(z).T


def test_it_is_a_function_of_its_seed_and_draws_from_no_generator_of_the_run():
    features = torch.randn(50, 200)
    state = torch.get_rng_state()
    z = reference_head(features)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    assert torch.equal(reference_head(features), z) and z.shape == (50, 128)
    assert not torch.allclose(cosines(reference_head(features, seed=1)), cosines(z), atol=0.05)


def test_the_directions_are_orthonormal():
    # Signed unit vectors are standardised to a multiple of themselves: out comes the projection.
    whole = torch.cat([torch.eye(40), -torch.eye(40)])
    projection = reference_head(whole, width=8)[:40] / 40**0.5
    assert projection.shape == (40, 8)
    torch.testing.assert_close(projection.T @ projection, torch.eye(8).double())


def test_no_wider_than_the_features_it_changes_no_cosine_of_the_standardised():
    features = torch.randn(30, 16).double()
    standard = (features - features.mean(0)) / features.std(0, correction=0)
    z = reference_head(features)
    assert z.shape == (30, 16)
    torch.testing.assert_close(cosines(z), cosines(standard))


def test_offset_and_unit_of_a_feature_do_not_count():
    features = torch.randn(30, 20).double()
    other = features * (0.5 + torch.rand(20)) + 10 * torch.randn(20)
    torch.testing.assert_close(reference_head(other, 8), reference_head(features, 8))


def test_a_constant_feature_becomes_none():
    features = torch.randn(30, 20)
    features[:, 3] = 7.1
    z = reference_head(features, 8)
    features[:, 3] = 0
    assert torch.equal(reference_head(features, 8), z)
    assert not reference_head(torch.ones(5, 3) * 1.7).any()


def test_unusable_arguments():
    with pytest.raises(ValueError, match='width must be from 1, got 0'):
        reference_head(torch.randn(4, 3), width=0)
    with pytest.raises(ValueError, match=r'2 row\(s\)'):
        reference_head(torch.randn(1, 3))
