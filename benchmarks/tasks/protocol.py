# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What is measured of a backbone on a task: frozen features, two classifiers, three splits.

Features are standardised by those of the training part. A logistic regression takes its penalty,
C = 1 / (l2 * images), and kNN its number of neighbours, by the validation part; both are told on
the test part.
"""

from collections.abc import Mapping, Sequence

import torch
from mmengine.config import Config
from torch import Tensor, nn
from torch.utils.data import DataLoader

from benchmarks.tasks.settings import CLASSIFIERS, L2S, NEIGHBOURS, TEMPERATURE, TOLERANCE
from benchmarks.tasks.splits import Split, split_pool
from benchmarks.tasks.task import Pool, Task
from nasiam_mm.evaluation.knn import knn_sweep
from nasiam_mm.evaluation.linear import linear_accuracy, linear_sweep
from nasiam_mm.probes.extract import extract_features

_BATCH = 500
# Classifier -> percent right on the test part of each split.
Figures = dict[str, list[float]]


def measure_tasks(
    model: nn.Module, cfg: Config, tasks: Mapping[str, Task], pools: Mapping[str, Pool], seed: int
) -> dict[str, dict]:
    """Measure a network on tasks.

    Args:
        model: An algorithm of ours, whose backbone's pooled features are taken.
        cfg: Its config, which says in which precision.
        tasks: By name.
        pools: Their images, by the same names.
        seed: Of the splits.

    Returns:
        Task -> figures by classifier, see :data:`Figures`, and the digest of its images.
    """
    kept: dict[str, Tensor] = {}
    found: dict[str, dict] = {}
    for name in tasks:
        pool = pools[name]
        if (key := pool.images_digest()) not in kept:
            kept[key] = pool_features(model, cfg, pool)
        labels = torch.from_numpy(pool.labels).to(kept[key].device)
        figures = classify(kept[key], labels, pool.classes, split_pool(pool, seed))
        found[name] = {**figures, 'digest': pool.digest()}
    return found


def pool_features(model: nn.Module, cfg: Config, pool: Pool) -> Tensor:
    """Extract the pooled features of a pool, float32 (N, D), as evaluation images are prepared."""
    images = torch.from_numpy(pool.images)
    loader = DataLoader(range(len(images)), _BATCH, collate_fn=lambda n: dict(inputs=images[n]))
    return extract_features(model, loader, cfg, labelled=False).features


def classify(features: Tensor, labels: Tensor, classes: int, splits: Sequence[Split]) -> Figures:
    """Train both classifiers on each split and tell their test accuracy, percent.

    Of settings that do equally well on the validation part, the strongest penalty and the fewest
    neighbours are taken.

    Args:
        features: (N, D).
        labels: Class indices, (N,).
        classes: Number of classes.
        splits: Row numbers.
    """
    found: Figures = {name: [] for name in CLASSIFIERS}
    for split in splits:
        parts = {
            part: (features[rows], labels[rows])
            for part, numbers in split._asdict().items()
            for rows in [torch.from_numpy(numbers).to(features.device)]
        }
        probes = linear_sweep(*parts['train'], classes, L2S, tolerance=TOLERANCE)
        scores = {l2: linear_accuracy(probe, *parts['val'])['top1'] for l2, probe in probes.items()}
        best = probes[max(scores, key=lambda l2: (scores[l2], l2))]
        found['linear'].append(round(linear_accuracy(best, *parts['test'])['top1'], 4))
        standard = {
            part: ((values.double() - best.mean) / best.deviation, own)
            for part, (values, own) in parts.items()
        }
        found['knn'].append(round(_nearest(standard, classes), 4))
    return found


def _nearest(parts: Mapping[str, tuple[Tensor, Tensor]], classes: int) -> float:
    bank = parts['train']
    ks = [k for k in NEIGHBOURS if k <= len(bank[1])]
    scores = knn_sweep(*parts['val'], *bank, classes, ks, [TEMPERATURE])
    best = max(scores, key=lambda key: (scores[key], -key[0]))
    return knn_sweep(*parts['test'], *bank, classes, [best[0]], [TEMPERATURE])[best]
