# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Pictures of losses: the mean and the range of the seeds."""

import pytest

from benchmarks.papers.loss_curves import plot_losses


def test_losses_are_means_with_their_range(drawn, tmp_path):
    curves = {
        'searched': {0: [(1, -0.5), (2, -0.75)], 1: [(1, -0.25), (2, -0.25)]},
        'standard': {0: [(1, -0.1)]},
    }
    plot_losses(curves, tmp_path / 'l.png', 'title')
    (axes,) = drawn[0].axes
    first, second = axes.get_lines()
    assert first.get_xdata().tolist() == [1, 2]
    assert first.get_ydata().tolist() == [-0.375, -0.5]
    assert second.get_ydata().tolist() == [-0.1]
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ['searched (n = 2)', 'standard (n = 1)']
    band = axes.collections[0].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == (-0.75, -0.25)
    with pytest.raises(ValueError, match='no loss to draw'):
        plot_losses({}, tmp_path / 'l.png')
