# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The fast linear probe is the minimum it claims to be.

1. Closed forms: features that say nothing give the classes' frequencies; two points with flipped
   labels give the log odds.
2. Against scipy's minimiser on the objective written with numpy.
3. Separable data is separated; a feature's unit and a warm start decide nothing.
4. Accuracy counts what is named, and an equal score names nothing.
"""

import math

import numpy as np
import pytest
import scipy.optimize
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nasiam_mm.evaluation import linear
from nasiam_mm.evaluation.linear import LinearProbe, fit_linear, linear_accuracy, linear_sweep


class Largest(TorchDispatchMode):
    """Count the real matrices of the features' size that are made; a check makes one of bool."""

    copies = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        made = [x for x in tree_leaves(result) if isinstance(x, torch.Tensor)]
        is_new = not any(x._is_view() for x in made) and not func.__name__.split('.')[0].endswith(
            '_'
        )
        self.copies += is_new and any(x.numel() == 450 and x.is_floating_point() for x in made)
        return result


def data(seed=0, n=90, width=5, classes=3):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(n, width, generator=generator) * 3 + 1
    target = features @ torch.randn(width, classes, generator=generator)
    noise = 4 * torch.randn(n, classes, generator=generator)
    return features, (target + noise).argmax(1)


def test_constant_features_give_the_frequencies_of_the_classes():
    labels = torch.tensor([0] * 6 + [1] * 3 + [2])
    probe = fit_linear(torch.full((10, 2), 7.3), labels, 3, l2=0.1, tolerance=1e-10)
    found = probe.scores(torch.full((1, 2), 7.3)).softmax(1)[0]
    torch.testing.assert_close(found, torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64))
    assert not probe.weight.any()


@pytest.mark.parametrize('flipped', [1, 3, 8])
def test_flipped_labels_give_the_log_odds(flipped):
    # x = -1 has label 0 and x = 1 label 1, but for a part of each; mean 0, deviation 1.
    features = torch.tensor([[-1.0]] * 20 + [[1.0]] * 20)
    labels = torch.tensor([1] * flipped + [0] * (20 - flipped) + [0] * flipped
                          + [1] * (20 - flipped))  # fmt: skip
    probe = fit_linear(features, labels, 2, l2=0.0, tolerance=1e-10)
    scores = probe.scores(torch.tensor([[1.0]]))[0]
    assert (scores[1] - scores[0]).item() == pytest.approx(math.log((20 - flipped) / flipped))


@pytest.mark.parametrize('l2', [1e-3, 0.1, 3.0])
def test_it_is_the_minimum_that_scipy_finds(l2):
    features, labels = data()
    x, y = features.double().numpy(), labels.numpy()
    x = (x - x.mean(0)) / x.std(0)

    def objective(flat):
        weight, bias = flat[:15].reshape(3, 5), flat[15:]
        scores = x @ weight.T + bias
        peak = scores.max(1, keepdims=True)
        log_sum = peak[:, 0] + np.log(np.exp(scores - peak).sum(1))
        return (log_sum - scores[np.arange(len(y)), y]).mean() + l2 / 2 * (weight**2).sum()

    best = scipy.optimize.minimize(objective, np.zeros(18), method='BFGS', tol=1e-9)
    probe = fit_linear(features, labels, 3, l2, tolerance=1e-8)
    assert probe.converged
    np.testing.assert_allclose(probe.weight, best.x[:15].reshape(3, 5), atol=2e-5)
    # A constant added to all biases changes nothing; from zero both find the mean 0.
    np.testing.assert_allclose(probe.bias, best.x[15:], atol=2e-5)


def test_separable_classes_are_separated():
    centres = torch.eye(7) * 10
    labels = torch.arange(7).repeat(20)
    features = centres[labels] + torch.randn(140, 7)
    probe = fit_linear(features, labels, 7, l2=1e-3)
    assert linear_accuracy(probe, features, labels) == {'top1': 100.0, 'top5': 100.0}


def test_the_unit_of_a_feature_decides_nothing():
    features, labels = data()
    scaled = features.double() * torch.tensor([1.0, 1e-3, 1e3, 1.0, 50.0]) + 20
    probe = fit_linear(features, labels, 3, 0.01, tolerance=1e-9)
    other = fit_linear(scaled, labels, 3, 0.01, tolerance=1e-9)
    torch.testing.assert_close(probe.scores(features), other.scores(scaled), atol=1e-4, rtol=0)


def test_standardisation_is_that_of_the_training_features():
    features, labels = data()
    probe = fit_linear(features, labels, 3, 0.01)
    torch.testing.assert_close(probe.mean, features.double().mean(0))
    torch.testing.assert_close(probe.deviation, features.double().std(0, correction=0))


def test_a_sweep_ends_where_single_fits_end():
    features, labels = data()
    probes = linear_sweep(features, labels, 3, [1e-2, 1.0, 1e-1], tolerance=1e-9)
    assert list(probes) == [1.0, 1e-1, 1e-2]
    for l2, probe in probes.items():
        alone = fit_linear(features, labels, 3, l2, tolerance=1e-9)
        torch.testing.assert_close(probe.weight, alone.weight, atol=1e-6, rtol=0)


def test_neither_copies_nor_scores_grow_with_the_images(monkeypatch):
    features, labels = data()
    kept, whole = features.clone(), fit_linear(features, labels, 3, 0.01, tolerance=1e-9)
    monkeypatch.setattr(linear, 'ENTRIES', 21)  # seven images at a time
    with Largest() as made:
        probe = fit_linear(features, labels, 3, 0.01, tolerance=1e-9)
    assert made.copies == 1 and torch.equal(features, kept)
    torch.testing.assert_close(probe.weight, whole.weight, atol=1e-8, rtol=0)
    assert probe.converged


def test_too_few_steps_do_not_count_as_converged():
    features, labels = data()
    assert not fit_linear(features, labels, 3, 1e-3, max_steps=2).converged


def given(weight):
    classes, width = weight.shape
    zeros, ones = torch.zeros(width).double(), torch.ones(width).double()
    return LinearProbe(weight.double(), torch.zeros(classes).double(), zeros, ones, True)


def test_accuracy_counts_ranks():
    # Scores of image i: its row of `features`.
    probe = given(torch.eye(6))
    features = torch.tensor([
        [9.0, 1, 2, 3, 4, 5],
        [9, 1, 2, 3, 4, 5],
        [9, 1, 2, 3, 4, 5],
        [9, 9, 2, 3, 4, 5],
    ])  # fmt: skip
    labels = torch.tensor([0, 5, 1, 0])
    # Right; second; last; tied with another class.
    assert linear_accuracy(probe, features, labels) == {'top1': 25.0, 'top5': 75.0}
    assert linear_accuracy(probe, features, labels, chunk_size=3)['top5'] == 75.0


def test_a_probe_without_knowledge_names_nothing():
    probe = given(torch.zeros(6, 2))
    assert linear_accuracy(probe, torch.randn(8, 2), torch.zeros(8).long())['top5'] == 0


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'features': torch.full((4, 2), math.nan)}, '4 of 4 features are not finite'),
        ({'features': torch.zeros(4)}, r'must be an \(N, D\) matrix of .*, got \(4,\)'),
        ({'labels': torch.tensor([0, 1, 2, 5])}, 'labels holds 5, outside 0 to 2'),
        ({'labels': torch.zeros(3).long()}, r'must be 4 class indices, got \(3,\)'),
        ({'labels': torch.zeros(4)}, 'class indices, got .* torch.float32'),
        ({'l2': -1.0}, 'l2 >= 0'),
        ({'l2': math.nan}, 'l2 >= 0'),
        ({'max_steps': 0}, 'max_steps >= 1'),
    ],
)
def test_what_cannot_be_fitted_is_refused(change, message):
    good = dict(
        features=torch.randn(4, 2), labels=torch.tensor([0, 1, 2, 0]), num_classes=3, l2=1.0
    )
    with pytest.raises(ValueError, match=message) as caught:
        fit_linear(**{**good, **change})
    assert '\n' not in str(caught.value)


def test_features_of_another_width_are_refused():
    features, labels = data()
    probe = fit_linear(features, labels, 3, 0.1)
    with pytest.raises(ValueError, match='features have width 4, the classifier takes 5'):
        linear_accuracy(probe, features[:, :4], labels)
    with pytest.raises(ValueError, match='at least one l2'):
        linear_sweep(features, labels, 3, [])


@pytest.mark.parametrize('dtype', [torch.float64, torch.float32])
def test_the_gradient_is_that_of_autograd(dtype):
    features, labels = data(1, n=300)
    standard = features.to(dtype)
    objective = linear._Objective(standard, labels, 3, l2=0.3)
    flat = torch.randn(18, dtype=torch.float64)
    loss, slope = objective(flat)
    flat.requires_grad_()
    whole = flat.view(3, 6)
    scores = standard.double() @ whole[:, :5].T + whole[:, 5]
    expected = (
        torch.nn.functional.cross_entropy(scores, labels) + 0.15 * whole[:, :5].square().sum()
    )
    expected.backward()
    torch.testing.assert_close(loss, expected.detach(), rtol=1e-12, atol=0)
    torch.testing.assert_close(slope, flat.grad, rtol=1e-10, atol=1e-12)
    coarse = objective.to(torch.float32)(flat.detach())
    torch.testing.assert_close(coarse[1], slope, rtol=0, atol=1e-6)
