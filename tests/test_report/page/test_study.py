# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The page of a study: what stands where, in which unit, and what the words mean."""

import json
import re

import pytest

from nasiam_mm.report.page.charts import Line, line_chart
from nasiam_mm.report.page.explained import FIGURES, explain, sentence_of, title_of
from nasiam_mm.report.page.facts import read_facts
from nasiam_mm.report.page.parts.study import Bar, differences, trials
from nasiam_mm.report.page.single import page_of, title
from tests.test_report.page.folders import make_search, study
from tests.test_report.page.reading import Page


def page(folder, **more):
    (folder / 'verdict.json').write_text(json.dumps(study(**more)))
    return page_of(read_facts(folder))


def texts(drawn):
    """Return (x, y of the baseline, text) of every text of a drawing."""
    found = re.findall(r'<text x="([\d.]+)" y="([\d.]+)"[^>]*>([^<]*)<', drawn)
    return [(float(x), float(y), told) for x, y, told in found]


@pytest.mark.parametrize('span', [(1.0, 2.0), (-2.0, -1.0), (-1.0, 1.0), (-0.01, 30.0)])
def test_no_name_stands_on_the_line_of_0(span):
    bars = [Bar(name, sum(span) / 2, *span) for name in ('ab', 'cd', 'ef')]
    drawn = differences(bars, 'points', 43.21)
    [path] = re.findall(r'class="level zero" d="([^"]+)"', drawn)
    pieces = [tuple(map(float, p)) for p in re.findall(r'M([\d.]+) ([\d.]+)v([\d.]+)', path)]
    assert len(pieces) == len(bars) and len({x for x, _, _ in pieces}) == 1
    # A letter of 11 units reaches from 9 above its line to 3 below.
    for _, baseline, told in texts(drawn):
        for _, top, length in pieces:
            assert baseline + 3 <= top or baseline - 9 >= top + length, told
    # The line goes through every bar, at the place of 0 between the ticks.
    ticks = {told: x for x, _, told in texts(drawn) if re.fullmatch(r'-?[\d.]+', told)}
    assert pieces[0][0] == pytest.approx(ticks['0'], abs=0.1) and len(ticks) > 1
    heights = [float(y) for y in re.findall(r'<circle [^>]*cy="([\d.]+)"', drawn)]
    for height, (_, top, length) in zip(heights, pieces, strict=True):
        assert top < height < top + length


def test_both_axes_have_names_with_units_and_the_standard_head_its_score(tmp_path):
    told = page(tmp_path)
    verdict = Page(told).told('verdict')
    assert 'difference from the standard head, points' in verdict
    assert '0: the standard head, 40.5 %' in verdict
    assert 'head score, % difference, points interval, points p seeds collapsed' in verdict
    assert 'standard head 40.5 - - - 3 0' in verdict and 'ab 42 1.5 [0.5, 2.5]' in verdict
    assert 'what was decided of it ab depth=2' in verdict
    cost = Page(told).told('cost')
    assert 'minutes of training, all trials so far' in cost and 'kNN top-1, %' in cost
    assert 'standard head, mean (32.25)' in cost
    bare = Page(page(tmp_path, scores=None, unit='of rankme')).told('verdict')
    assert 'difference from the standard head, rankme' in bare and '0: the standard head ' in bare


def test_the_best_so_far_is_a_step():
    """It stays as it was until a trial is better, and no line leads through what was not found."""
    rows = [{'head': 'a', 'source': 's', 'score': score, 'seconds': 60.0} for score in (3, 1, 7)]
    drawn = trials({'scored': rows})
    path, _ = re.findall(r'<path class="line c7 d0" d="M([^"]+)"', drawn)  # and of the legend
    assert re.fullmatch(r'[\d.]+ [\d.]+(H[\d.]+V[\d.]+)+', path)
    heights = [float(y) for y in re.findall(r'V([\d.]+)', path)]
    first = float(path.split('H')[0].split()[1])
    assert heights[0] == first > heights[1]  # up is less
    straight = line_chart('a', [Line('b', [(0, 1), (1, 2)])])
    assert 'H' not in re.findall(r'class="line [^"]+" d="M([^"]+)"', straight)[0]


@pytest.mark.parametrize(
    ('name', 'more', 'expected'),
    [
        ('heads', {}, 'heads on CIFAR10'),
        ('heads', {'dataset': None}, 'heads on cifar10'),
        (
            'checked',
            {'dataset': None, 'budget': {'data': '/runs/photos/data'}},
            'checked on photos',
        ),
        ('cifar10_heads', {}, 'cifar10_heads'),
        ('heads', {'dataset': None, 'budget': [3]}, 'heads'),
    ],
)
def test_the_title_names_the_images(tmp_path, name, more, expected):
    (tmp_path / name).mkdir()
    told = page(tmp_path / name, **more)
    assert f'<title>{expected}</title>' in told and f'<h1>{expected}</h1>' in told


def test_the_title_of_a_run_names_them_too(tmp_path):
    assert title(read_facts(make_search(tmp_path / 'search'))) == 'search on CIFAR10'


def test_a_measure_is_explained_before_it_is_used_and_once(tmp_path):
    budget = {'measure': 'rankme'}
    verdict = Page(page(tmp_path, budget=budget, objective='rankme, more is better'))
    told = verdict.told('verdict')
    assert told.count(FIGURES['rankme'].told) == 1
    assert told.index(FIGURES['rankme'].told) < told.index('Heads on the fresh seeds')
    for word in ('Difference:', 'Interval:', 'p:', 'Collapsed:'):
        assert told.count(word) == 1
    run = Page(page_of(read_facts(make_search(tmp_path / 'run'))))
    assert FIGURES['knn'].told in run.told('verdict')
    assert FIGURES['effective_rank'].told in run.told('verdict')


def test_every_measure_of_the_package_is_explained():
    from nasiam_mm.probes.measures import MEASURES

    ours = {m.name for m in MEASURES.module_dict.values() if m.__module__.startswith('nasiam_mm')}
    assert len(ours) > 6 and ours <= set(FIGURES)
    assert sentence_of('mine') == '' == explain(['mine']) and title_of('my_own').endswith('my own')
