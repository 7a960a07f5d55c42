# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Axes say what can be: whole epochs, and no more than 100 %."""

import re

import pytest

from nasiam_mm.report.page.charts import Line, line_chart


def labels(kind, chart):
    return [float(text) for text in re.findall(rf'class="{kind}">([-\d.]+)<', chart)]


@pytest.mark.parametrize('last', [1, 2, 3, 7, 800])
def test_epochs_are_whole(last):
    line = [Line('a', [(0, 1.0), (last, 2.0)])]
    marked = labels('mid', line_chart('t', line))
    assert marked[0] == 0 and len(marked) > 1 and all(x.is_integer() for x in marked)
    if last < 3:
        assert labels('mid', line_chart('t', line, x_label='minutes'))[1] < 1


@pytest.mark.parametrize('scores', [(100.0, 100.0), (30.0, 99.9), (93.0, 100.0)])
def test_nothing_stands_above_100_percent(scores):
    line = [Line('a', list(enumerate(scores)))]
    assert max(labels('end', line_chart('t', line, y_label='top-1, %'))) <= 100
    assert max(labels('end', line_chart('t', [Line('a', [(0, 100.0), (1, 100.0)])]))) > 100
