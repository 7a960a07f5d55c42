# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Two classifiers on frozen features, against scikit-learn, chosen on validation images."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from sklearn.linear_model import LogisticRegression
from torch import nn

from benchmarks.tasks import protocol
from benchmarks.tasks.protocol import classify, measure_tasks, pool_features
from benchmarks.tasks.settings import L2S
from benchmarks.tasks.splits import split_pool
from benchmarks.tasks.task import OTHER, Pool, Task


@pytest.fixture
def features():
    """300 vectors of three classes that overlap, and their splits."""
    rng = np.random.default_rng(0)
    labels = np.arange(300) % 3
    values = (
        rng.normal(size=(300, 8)) * rng.uniform(0.1, 10, 8) + np.eye(3)[labels].repeat(3, 1)[:, :8]
    )
    pool = Pool(np.zeros((300, 3, 32, 32), np.uint8), labels)
    return torch.tensor(values, dtype=torch.float32), torch.tensor(labels), split_pool(pool, 0)


def test_the_logistic_regression_is_scikit_learns(features):
    values, labels, splits = features
    found = classify(values, labels, 3, splits)
    for split, figure in zip(splits, found['linear'], strict=True):
        train = values[split.train].double().numpy()
        mean, deviation = train.mean(0), train.std(0)
        parts = {
            name: ((values[rows].numpy() - mean) / deviation, labels[rows].numpy())
            for name, rows in split._asdict().items()
        }
        best = max(
            (
                LogisticRegression(C=1 / (l2 * len(train)), tol=1e-8, max_iter=2000).fit(
                    *parts['train']
                )
                for l2 in sorted(L2S, reverse=True)
            ),
            key=lambda model: model.score(*parts['val']),
        )
        assert figure == pytest.approx(100 * best.score(*parts['test']), abs=1e-3)


def test_nothing_is_chosen_on_test_images(features):
    values, labels, splits = features
    again = labels.clone()
    for split in splits[:1]:
        again[split.test] = labels[split.test].roll(1)
    seen = []

    def sweep(query, query_labels, bank, bank_labels, classes, ks, temperatures):
        seen.append((len(query), tuple(ks)))
        return {(k, t): float(k == 5) for k in ks for t in temperatures}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(protocol, 'knn_sweep', sweep)
        classify(values, again, 3, splits[:1])
    parts = splits[0]
    assert seen == [(len(parts.val), (1, 5, 20)), (len(parts.test), (5,))]


def test_scale_of_a_feature_does_not_matter(features):
    values, labels, splits = features
    scaled = values * torch.tensor([1e-3, 1e3, 1, 1, 1, 5, 1, 1]) + 7
    assert classify(values, labels, 3, splits) == classify(scaled, labels, 3, splits)


class Toy(nn.Module):
    """Gives the mean colour, and counts how often it is asked."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.seen = 0

    def data_preprocessor(self, data, training):
        assert not training and not self.training
        return dict(inputs=data['inputs'].float() * self.weight, data_samples=None)

    def extract_feat(self, inputs):
        self.seen += len(inputs)
        return (inputs,)


def test_features_are_pooled_and_shared_by_tasks_on_the_same_images():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (700, 3, 32, 32), dtype=np.uint8)
    images[::2, 0] //= 2
    labels = np.arange(700) % 2
    pools = {'one': Pool(images, labels), 'two': Pool(images, labels[::-1].copy())}
    pools['three'] = Pool(images[::-1].copy(), labels)
    model = Toy().train()
    found = pool_features(model, Config(), pools['one'])
    np.testing.assert_allclose(found.numpy(), images.mean((2, 3)), rtol=1e-5)
    assert model.training
    model.seen = 0
    tasks = {name: Task(name, name, OTHER, None) for name in pools}
    figures = measure_tasks(model, Config(), tasks, pools, 0)
    assert model.seen == 2 * 700
    assert set(figures) == set(pools)
    for of in figures.values():
        # The red channel tells one class from the other.
        assert min(of['linear']) == 100 and min(of['knn']) > 99
    assert len({of['digest'] for of in figures.values()}) == 3
