# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Losses of several heads over the epochs (NASiam, figures 2, 3 and 5)."""

import os
import statistics
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from nasiam_mm.report.pictures.figure import save_figure

Points = Sequence[tuple[float, float]]


def plot_losses(
    curves: Mapping[str, Mapping[int, Points]], path: str | os.PathLike, title: str = ''
) -> None:
    """Draw the mean loss of each head over its seeds, and the range of them.

    Args:
        curves: Name -> seed -> (epoch, loss) in order.
        path: Picture to write, .png or .svg.
        title: Title of the picture.

    Raises:
        ValueError: If there is no curve, or the suffix is neither.
    """
    if not any(curves.values()):
        raise ValueError('there is no loss to draw; measure a run first')
    figure = Figure(figsize=(6.4, 4.0), layout='constrained')
    axes = figure.subplots()
    for name, by_seed in curves.items():
        losses: dict[float, list[float]] = {}
        for points in by_seed.values():
            for epoch, loss in points:
                losses.setdefault(epoch, []).append(loss)
        epochs = sorted(losses)
        mean = [statistics.fmean(losses[epoch]) for epoch in epochs]
        (line,) = axes.plot(epochs, mean, label=f'{name} (n = {len(by_seed)})', marker='.')
        axes.fill_between(
            epochs,
            [min(losses[epoch]) for epoch in epochs],
            [max(losses[epoch]) for epoch in epochs],
            color=line.get_color(),
            alpha=0.2,
            linewidth=0,
        )
    axes.set_xlabel('epoch')
    axes.set_ylabel('training loss')
    axes.set_title(title)
    axes.legend()
    axes.grid(alpha=0.3)
    save_figure(figure, path)
