# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""kNN, linear probe and few labels on cached features, selected on validation (contract C10)."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nasiam_mm.evaluation.few_labels import balanced_subset
from nasiam_mm.evaluation.knn import knn_accuracy, knn_sweep
from nasiam_mm.evaluation.linear import linear_accuracy, linear_sweep
from nasiam_mm.probes.feature_sets import FeatureSet, FeatureSets


@dataclass(frozen=True)
class Grid:
    """What is tried: kNN, penalties of the linear probe, few labels; and what papers report."""

    ks: Sequence[int] = (1, 5, 10, 20, 50, 100, 200, 500)  # up to the number of labelled images
    temperatures: Sequence[float] = (0.05, 0.07, 0.1, 0.2, 0.5)
    l2s: Sequence[float] = (1e-4, 1e-3, 1e-2, 1e-1)
    fractions: Sequence[float] = (0.01, 0.1)
    label_seeds: Sequence[int] = (0, 1, 2)
    fixed_k: int = 200
    fixed_temperature: float = 0.1


def sweep_features(sets: FeatureSets, grid: Grid) -> dict[str, Any]:
    """Measure features: plain data, in percent, in which without a test part no test figure is."""
    k, temperature = min(grid.fixed_k, len(sets.train.labels)), grid.fixed_temperature
    fixed: dict[str, Any] = {'k': k, 'temperature': temperature}
    for part, query in sets.queries.items():
        fixed |= _named(part, knn_accuracy(*query, *sets.train, sets.num_classes, k, temperature))
    return {
        'sizes': {part: len(found.labels) for part, found in sets.parts.items()},
        'num_classes': sets.num_classes,
        'knn': _best_knn(sets, sets.train, grid),
        'knn_fixed': fixed,
        'linear_cached': _best_linear(sets, sets.train, grid),
        'few_labels': [_few_labels(sets, grid, fraction) for fraction in grid.fractions],
    }


def fitting_fractions(
    sets: FeatureSets, fractions: Sequence[float]
) -> tuple[tuple[float, ...], list[str]]:
    """Return the fractions that leave every class its share of labels, and why others do not."""
    fitting, refused = [], []
    for fraction in fractions:
        try:
            balanced_subset(sets.train.labels, sets.num_classes, fraction, seed=0)
            fitting.append(fraction)
        except ValueError as error:
            refused.append(str(error))
    return tuple(fitting), refused


def _best_knn(sets: FeatureSets, labelled: FeatureSet, grid: Grid) -> dict[str, Any]:
    """Sweep k and T on the validation part; report what it selects."""
    ks = [k for k in grid.ks if k <= len(labelled.labels)] or [len(labelled.labels)]
    sweep = knn_sweep(*sets.val, *labelled, sets.num_classes, ks, grid.temperatures)
    k, temperature = max(sweep, key=sweep.__getitem__)  # the first of equals, by the grid
    test = sets.test and knn_accuracy(*sets.test, *labelled, sets.num_classes, k, temperature)
    return {
        'k': k,
        'temperature': temperature,
        'val_top1': sweep[k, temperature],
        'sweep': [[*key, top1] for key, top1 in sweep.items()],
        **_named('test', test),
    }


def _best_linear(sets: FeatureSets, labelled: FeatureSet, grid: Grid) -> dict[str, Any]:
    """Sweep the penalty on the validation part; report what it selects."""
    probes = linear_sweep(*labelled, sets.num_classes, grid.l2s)
    top1 = {l2: linear_accuracy(probe, *sets.val)['top1'] for l2, probe in probes.items()}
    l2 = max(top1, key=top1.__getitem__)  # the first of equals
    return {
        'l2': l2,
        'val_top1': top1[l2],
        'converged': all(probe.converged for probe in probes.values()),
        'sweep': [[*item] for item in top1.items()],
        **_named('test', sets.test and linear_accuracy(probes[l2], *sets.test)),
    }


def _named(part: str, accuracy: dict[str, float] | None) -> dict[str, float]:
    return {f'{part}_{name}': value for name, value in (accuracy or {}).items()}


def _few_labels(sets: FeatureSets, grid: Grid, fraction: float) -> dict[str, Any]:
    """Measure with a part of the training labels; the validation labels all count as known."""
    seeds = list(grid.label_seeds)[: 1 if fraction == 1 else None]  # all labels are one choice
    rows: dict[str, list[float]] = {}
    for seed in seeds:
        chosen = balanced_subset(sets.train.labels, sets.num_classes, fraction, seed)
        labelled = FeatureSet(sets.train.features[chosen], sets.train.labels[chosen])
        for name, best in (('knn', _best_knn), ('linear', _best_linear)):
            figures = best(sets, labelled, grid)
            for part in sets.queries:
                rows.setdefault(f'{name}_{part}_top1', []).append(figures[f'{part}_top1'])
    summary = {}
    for name, values in rows.items():
        deviation = statistics.stdev(values) if len(values) > 1 else None
        summary[name] = {'mean': statistics.fmean(values), 'deviation': deviation}
    return {'fraction': fraction, 'labels': len(chosen), 'label_seeds': seeds, **summary}


def render_features(found: dict[str, Any]) -> str:
    """Lay the measured figures out as a table of plain text."""
    parts = [part for part in found['sizes'] if part != 'train']
    fixed, knn, linear = found['knn_fixed'], found['knn'], found['linear_cached']
    rows = [('measure', [f'{part} top-1' for part in parts])]
    for name, figures in (
        (f'kNN, k {fixed["k"]}, T {fixed["temperature"]:g}', fixed),
        (f'kNN, k {knn["k"]}, T {knn["temperature"]:g} selected on val', knn),
        (f'linear, cached, l2 {linear["l2"]:g} selected on val', linear),
    ):
        rows.append((name, [f'{figures[f"{part}_top1"]:.2f}' for part in parts]))
    for few in found['few_labels']:
        share = f'{100 * few["fraction"]:g} % of the labels ({few["labels"]})'
        for name in ('knn', 'linear'):
            figures = [format_figure(**few[f'{name}_{part}_top1']) for part in parts]
            rows.append((f'{name}, {share}', figures))
    lines = [', '.join(f'{part} {size}' for part, size in found['sizes'].items()) + ' images']
    lines += [f'{name:<44}' + ''.join(f'{cell:>14}' for cell in cells) for name, cells in rows]
    lines.append('linear, cached: no augmentation; not the protocol of configs/benchmarks/linear')
    if not linear['converged']:
        lines.append('linear, cached: a fit stopped before its minimum')
    return '\n'.join(lines)


def format_figure(mean: float, deviation: float | None) -> str:
    """Write a mean with its deviation, where there is one."""
    return f'{mean:.2f}' if deviation is None else f'{mean:.2f} ± {deviation:.2f}'
