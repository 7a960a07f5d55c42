# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The picture of a study's trials: every trial is in it, and equal ones give equal files."""

import pytest

from nasiam_mm.report.pictures.score_cost import plot_score_cost

ROWS = [('standard', 60.0, 40.0), ('TPE', 30.0, 38.0), ('TPE', 30.0, 42.0)]


def test_trials_and_the_best_so_far_are_drawn(tmp_path):
    for name in 'ab':
        plot_score_cost(ROWS, tmp_path / f'{name}.svg', 'kNN')
    text = (tmp_path / 'a.svg').read_text()
    assert text == (tmp_path / 'b.svg').read_text()
    for told in ('standard', 'TPE', 'best so far', 'minutes of training', 'kNN'):
        assert f'<!-- {told}' in text
    assert text.count('<use ') >= len(ROWS)


def test_nothing_to_draw_and_another_format_are_refused(tmp_path):
    with pytest.raises(ValueError, match='no trial'):
        plot_score_cost([], tmp_path / 'a.png', 'kNN')
    with pytest.raises(ValueError, match='must end in'):
        plot_score_cost(ROWS, tmp_path / 'a.pdf', 'kNN')
