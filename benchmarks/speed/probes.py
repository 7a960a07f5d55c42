# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The probes of features beside the libraries that people take for them: faiss and scikit-learn.

Features are those of many classes with noise, as a backbone's half way: neither apart nor alike.
"""

import warnings
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.speed.clock import Build, seconds, turns
from benchmarks.speed.figures import Measurement, Ratio, Side
from benchmarks.speed.setup import Setup
from nasiam_mm.evaluation.knn import knn_accuracy
from nasiam_mm.evaluation.linear import fit_linear
from nasiam_mm.refusals import one_line

OURS, FAISS, SKLEARN = 'ours', 'faiss, exact and flat', 'scikit-learn, lbfgs'
CLASSES, NEIGHBOURS, L2 = 100, 200, 1e-4


def features(rows: int, width: int, seed: int) -> tuple[Tensor, Tensor]:
    """Make seeded float32 features, (rows, width), and their classes."""
    draw = torch.Generator().manual_seed(seed)
    centres = torch.randn(CLASSES, width, generator=torch.Generator().manual_seed(0))
    labels = torch.randint(CLASSES, (rows,), generator=draw)
    noise = torch.randn(rows, width, generator=draw)
    return noise.add_(centres[labels], alpha=0.3), labels


def measure_knn(setup: Setup) -> list[Measurement]:
    """Time the vote of 200 neighbours, 1,000 queries, a bank of 100,000 x 512."""
    rows, width, queries = (4000, 64, 50) if setup.divisor > 1 else (100_000, 512, 1000)
    bank, labels = features(rows, width, 1)
    query, truth = features(queries, width, 2)

    def ours() -> Callable[[], object]:
        return lambda: knn_accuracy(query, truth, bank, labels, CLASSES, k=NEIGHBOURS)

    def faiss() -> Callable[[], object]:
        import faiss

        faiss.omp_set_num_threads(torch.get_num_threads())

        def run() -> float:
            index = faiss.IndexFlatIP(width)
            index.add(F.normalize(bank).numpy())
            cosine, near = index.search(F.normalize(query).numpy(), NEIGHBOURS)
            votes = torch.from_numpy(cosine).div(0.1).exp()
            found = torch.zeros(queries, CLASSES)
            found.scatter_add_(1, labels[torch.from_numpy(near)], votes)
            return (found.argmax(1) == truth).double().mean().item()

        return run

    found = Measurement(f'kNN, {queries:,} queries, bank {rows:,} x {width}', 's')
    found.ratios.append(Ratio('ours / faiss', OURS, FAISS, at_most=1.5))
    return [_in_turn(found, {OURS: ours, FAISS: faiss}, setup)]


def measure_linear(setup: Setup) -> list[Measurement]:
    """Time a fit of 10,000 x 512 to a gradient of at most 1e-5, on features standardised before."""
    rows, width = (500, 16) if setup.divisor > 1 else (10_000, 512)
    given, labels = features(rows, width, 1)
    given = (given - given.mean(0)) / given.std(0, correction=0)

    def ours() -> Callable[[], object]:
        return lambda: fit_linear(given, labels, CLASSES, L2)

    def sklearn() -> Callable[[], object]:
        from sklearn.linear_model import LogisticRegression

        warnings.filterwarnings('ignore', module='sklearn')

        def run() -> np.ndarray:
            fit = LogisticRegression(C=1 / (rows * L2), tol=1e-5, max_iter=1000)
            return fit.fit(given.numpy(), labels.numpy()).coef_

        return run

    found = Measurement(f'Linear probe, {rows:,} x {width}, {CLASSES} classes', 's')
    found.ratios.append(Ratio('ours / scikit-learn', OURS, SKLEARN, at_most=1.5))
    return [_in_turn(found, {OURS: ours, SKLEARN: sklearn}, setup)]


def _in_turn(found: Measurement, sides: dict[str, Build], setup: Setup) -> Measurement:
    runs = {}
    for name, build in sides.items():
        try:
            run = build()
            run()
        except Exception as error:  # a peer may fail in any way; the other goes on
            found.not_run[name] = f'{type(error).__name__}: {one_line(error)}'
            continue
        runs[name], found.sides[name] = run, Side()
    for name, run in turns(runs, setup.repeats, found.is_near):
        found.sides[name].samples.append(seconds(run, 'cpu'))
    return found
