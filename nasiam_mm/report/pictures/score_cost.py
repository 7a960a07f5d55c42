# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Scores of the trials of a study over the seconds spent, and the best so far."""

import os
from collections.abc import Sequence
from itertools import accumulate

from matplotlib.figure import Figure

from nasiam_mm.report.pictures.figure import save_figure

_COLORS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9', '#000000')


def plot_score_cost(
    rows: Sequence[tuple[str, float, float]],
    path: str | os.PathLike,
    unit: str,
    standard: float | None = None,
) -> None:
    """Draw trials, in the order they ended.

    Args:
        rows: Of each what proposed it, the seconds it took, and its score.
        path: Picture, .png or .svg.
        unit: Of the score, with its name.
        standard: Score of the standard head, the mean of its seeds.

    Raises:
        ValueError: If there is no trial, or the picture ends in neither.
    """
    if not rows:
        raise ValueError('there is no trial to draw')
    spent = [seconds / 60 for seconds in accumulate(row[1] for row in rows)]
    figure = Figure(figsize=(6.4, 4.0), layout='constrained')
    axes = figure.add_subplot()
    best = list(accumulate((row[2] for row in rows), max))
    axes.step(spent, best, where='post', color='#999999', label='best so far')
    for number, source in enumerate(dict.fromkeys(row[0] for row in rows)):
        own = [n for n, row in enumerate(rows) if row[0] == source]
        at, scores = [spent[n] for n in own], [rows[n][2] for n in own]
        color = _COLORS[number % len(_COLORS)]
        axes.scatter(at, scores, s=22, color=color, label=source, zorder=3)
    if standard is not None:
        label = f'standard head, mean ({standard:.4g})'
        axes.axhline(standard, color='#333333', lw=1, ls=':', label=label, zorder=1)
    axes.set_xlabel('minutes of training, all trials so far')
    axes.set_ylabel(unit)
    axes.spines[['top', 'right']].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    save_figure(figure, path)
