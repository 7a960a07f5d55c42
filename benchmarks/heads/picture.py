# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Main effects of choices as a picture."""

import os
from collections.abc import Mapping, Sequence
from itertools import pairwise

from matplotlib.figure import Figure

from benchmarks.heads.effects import Effect
from nasiam_mm.report.pictures.figure import save_figure


def draw_effects(tables: Mapping[str, Sequence[Effect]], path: str | os.PathLike) -> None:
    """Draw a column for each table: points of every option with its interval, by choice.

    Raises:
        ValueError: If there is no table, or the picture ends in neither .png nor .svg.
    """
    if not tables:
        raise ValueError('there is no table to draw')
    most = max(map(len, tables.values()))
    figure = Figure(figsize=(4.2 * len(tables), 0.22 * most + 1), layout='constrained')
    columns = figure.subplots(1, len(tables), squeeze=False, sharex=True)[0]
    for axes, (name, found) in zip(columns, tables.items(), strict=True):
        for place, effect in enumerate(found):
            axes.plot([effect.low, effect.high], [place, place], color='#0072B2', linewidth=1.5)
            axes.plot([effect.value], [place], 'o', color='#0072B2', markersize=4)
        for place, (before, effect) in enumerate(pairwise(found)):
            if before.choice != effect.choice:
                axes.axhline(place + 0.5, color='#dddddd', linewidth=0.8)
        axes.axvline(0, color='#999999', linewidth=0.8)
        axes.set_yticks(range(len(found)), [f'{e.choice} {e.option}' for e in found], fontsize=7)
        axes.invert_yaxis()
        axes.set_title(name, fontsize=9)
        axes.set_xlabel('points of kNN on test images, 95 %', fontsize=8)
        axes.spines[['top', 'right']].set_visible(False)
    save_figure(figure, path)
