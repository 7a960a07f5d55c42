# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Scores of backbones that are made of known factors, and rows that hold them."""

import numpy as np


def planted(
    loadings, backbones, repetitions=3, noise=0.0, by_size=0.0, seed=0
) -> tuple[np.ndarray, np.ndarray]:
    """Make scores of unit variance from one factor, and what is a task's own.

    Two tasks correlate by the product of their loadings before there is noise or an effect of size.

    Returns:
        Scores, (tasks, backbones, repetitions), and parameters, (backbones,).
    """
    rng = np.random.default_rng(seed)
    loadings = np.asarray(loadings)[:, None]
    factor, size = rng.normal(size=(2, 1, backbones))
    own = rng.normal(size=(len(loadings), backbones))
    true = loadings * factor + np.sqrt(1 - loadings**2) * own + by_size * size
    error = noise * rng.normal(size=(len(loadings), backbones, repetitions))
    return true[..., None] + error, np.exp(11 + size[0])


def as_rows(values, sizes, tasks, kinds=None, seeds=(0,)):
    """Return the rows of a study that hold such scores; repetitions are splits."""
    names = [f'b{n:03}' for n in range(values.shape[1])]
    return [
        dict(
            backbone=name,
            family='resnet',
            kind='random' if kinds is None else kinds[n],
            parameters=int(sizes[n]),
            macs=1000,
            features=16,
            seed=seed,
            config='recipe.py',
            digest='0',
            device='CPU',
            versions=dict(torch='2'),
            seconds=dict(train=1.0, tasks=2.0),
            loss=1.0,
            std=1.0,
            effective_rank=1.0,
            tasks={
                task: {name: [float(v) + seed for v in values[t, n]] for name in ('linear', 'knn')}
                for t, task in enumerate(tasks)
            },
        )
        for n, name in enumerate(names)
        for seed in seeds
    ]
