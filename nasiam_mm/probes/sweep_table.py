# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The figures of a sweep as text."""

from typing import Any


def render_features(found: dict[str, Any]) -> str:
    """Lay the measured figures out as a table of plain text."""
    parts = ['val', 'test'] if 'test' in found['sizes'] else ['val']
    lines = [
        ', '.join(f'{part} {size}' for part, size in found['sizes'].items()) + ' images',
        f'{"measure":<44}' + ''.join(f'{part + " top-1":>14}' for part in parts),
    ]

    def add(name: str, figures: list[str]) -> None:
        lines.append(f'{name:<44}' + ''.join(f'{figure:>14}' for figure in figures))

    fixed, knn, linear = found['knn_fixed'], found['knn'], found['linear_cached']
    setting = f'k {fixed["k"]}, T {fixed["temperature"]:g}'
    add(f'kNN, {setting}', [f'{fixed[f"{part}_top1"]:.2f}' for part in parts])
    setting = f'k {knn["k"]}, T {knn["temperature"]:g} selected on val'
    add(f'kNN, {setting}', [f'{knn[f"{part}_top1"]:.2f}' for part in parts])
    setting = f'l2 {linear["l2"]:g} selected on val'
    add(f'linear, cached, {setting}', [f'{linear[f"{part}_top1"]:.2f}' for part in parts])
    for row in found['few_labels']:
        for name in ('knn', 'linear'):
            figures = [row[f'{name}_{part}_top1'] for part in parts]
            add(
                f'{name}, {100 * row["fraction"]:g} % of the labels ({row["labels"]})',
                [format_figure(figure['mean'], figure['deviation']) for figure in figures],
            )
    lines.append('linear, cached: no augmentation; not the protocol of configs/benchmarks/linear')
    if not linear['converged']:
        lines.append('linear, cached: a fit stopped before its minimum')
    return '\n'.join(lines)


def format_figure(mean: float, deviation: float | None) -> str:
    """Write a mean with its deviation, where there is one."""
    return f'{mean:.2f}' if deviation is None else f'{mean:.2f} ± {deviation:.2f}'
