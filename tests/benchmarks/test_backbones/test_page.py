# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The page is made of the rows alone, and says what is in them."""

import re

import numpy as np
import pytest

from benchmarks import ROOT
from benchmarks.backbones.__main__ import BEGIN, END, PAGE, within_marks
from benchmarks.backbones.candidates import Backbone
from benchmarks.backbones.page import render_page
from benchmarks.backbones.rows import line_of, read_rows, write_rows
from benchmarks.backbones.table import TASKS, write_study
from tests.benchmarks.test_backbones.planted import as_rows, planted

COMMITTED = ROOT / 'docs/results/backbones/backbones_demo_rows.jsonl'


@pytest.fixture(scope='module')
def rows():
    # CIFAR-10 goes with the first four; digits is the reverse of it; the others are their own.
    loadings = [0.97] * 4 + [-0.97] + [0.0] * 6
    values, sizes = planted(loadings, 24, noise=0.2, seed=1)
    return as_rows(50 + 5 * values, sizes, TASKS)


@pytest.fixture(scope='module')
def page(rows):
    return render_page(rows, resamples=50)


def cells(page, heading, first):
    """Return the line of a table below a heading that begins with a cell."""
    part = page.split(f'## {heading}')[1].split('\n## ')[0]
    line, *_ = [text for text in part.splitlines() if text.startswith(f'| {first} |')]
    return [cell.strip() for cell in line.strip('|').split('|')]


def test_the_groups_are_told_apart(page):
    heading = 'Do tasks rank backbones alike?'
    within = cells(page, heading, 'within CIFAR images')
    other = cells(page, heading, 'within other images')
    assert (within[1], other[1], cells(page, heading, 'all')[1]) == ('6', '21', '55')
    assert cells(page, heading, 'CIFAR images with other images')[1] == '28'
    assert float(within[2].split()[0]) > 0.8 and within[-1].startswith('6 / 6')
    assert abs(float(other[2].split()[0])) < 0.2


def test_the_guide_is_compared_with_every_other_task(page):
    heading = 'Do CIFAR-10 classes predict the others?'
    digits = cells(page, heading, 'handwritten digits')
    assert float(digits[2].split()[0]) < -0.7
    assert float(digits[6].split()[0]) > 5 and float(digits[8]) > 15  # points lost, place
    animals = cells(page, heading, 'animal or vehicle')
    assert float(animals[2].split()[0]) > 0.8
    assert page.split(heading)[1].split('\n## ')[0].count('\n| ') == 12  # head, rule, ten tasks


def test_it_says_that_these_are_not_the_papers_tasks(page):
    assert 'not the eleven of the paper' in page
    assert not re.search(r'\bnan\b', page)


def test_rows_alone_make_the_same_page(rows, tmp_path):
    target = tmp_path / 'x.md'
    text = write_study('Title', rows[::-1], 24, 'command', target)
    again = read_rows(tmp_path / 'x_rows.jsonl')
    assert text.endswith(render_page(again))
    assert text.startswith('# Title\n\nMade by `command`, 24 of 24 runs; rows: [x_rows.jsonl]')
    assert again == sorted(rows, key=lambda row: row['parameters'])


def test_searched_ones_are_no_part_of_the_sample(rows, page):
    searched = [dict(rows[0], backbone='s', kind='searched')]
    near = [dict(row, backbone=f'n{n}', parameters=rows[0]['parameters'], kind='hand-made')
            for n, row in enumerate(rows[:2])]  # fmt: skip
    more = render_page([*rows, *searched, *near], resamples=50)
    part = '## Do tasks rank backbones alike?'
    assert (
        more.split(part)[1].split('\n## Do CIFAR')[0]
        == page.split(part)[1].split('\n## Do CIFAR')[0]
    )
    assert cells(more, 'Searched backbones against others of equal size', 's')[1] == '2 hand-made'


def test_few_rows_make_a_short_page(rows):
    text = render_page(rows[:3])
    assert text.startswith('3 random backbones (resnet) of ') and '## ' not in text
    assert write_study  # of no rows, see the table's test


def test_a_run_becomes_a_line():
    backbone = Backbone('resnet-0', 'resnet', 'random', {}, 1000, 2000, 16)
    run = dict(
        seed=3, config='a.py', config_sha256='f' * 64, device='CPU',
        versions=dict(nasiam_mm='1', torch='2', numpy='3'), process_seconds=dict(train=1.26),
        metrics=dict(loss=1.23456, std=0.5), tasks=dict(digits=dict(
            linear=[50.12345, 51.0, 52.0], knn=[40.0, 41.0, 42.0], digest='abc')),
    )  # fmt: skip
    line = line_of(backbone, run)
    assert line['tasks'] == {'digits': {'linear': [50.123, 51.0, 52.0], 'knn': [40.0, 41.0, 42.0]}}
    assert line['versions'] == {'nasiam_mm': '1', 'torch': '2'}
    assert (line['loss'], line['effective_rank'], line['seconds']) == (1.2346, None, {'train': 1.3})
    assert line['digest'] == 'f' * 12


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda lines: [*lines, lines[0]], 'line 9: b000 with seed 0 stands there twice'),
        (lambda lines: [*lines, '{"backbone"'], 'line 9: .*; make the rows anew'),
        (lambda lines: ['{"backbone": "x"}'], 'line 1: has no family, kind, parameters'),
    ],
)
def test_damaged_rows_are_told(tmp_path, change, message):
    values, sizes = planted([0.5], 8)
    path = tmp_path / 'rows.jsonl'
    write_rows(as_rows(values, np.sort(sizes), ('digits',)), path)
    path.write_text('\n'.join(change(path.read_text().splitlines())))
    with pytest.raises(ValueError, match=message):
        read_rows(path)


def test_the_committed_page_is_made_of_the_committed_rows():
    text = (ROOT / PAGE).read_text(encoding='utf-8')
    between = text.partition(BEGIN)[2].partition(END)[0].strip()
    if COMMITTED.is_file():
        assert between == render_page(read_rows(COMMITTED)).strip()
    else:
        assert between == 'Not run yet.'
    outside = within_marks(text, '')
    assert not re.search(r'\d\.\d', outside.replace('0.4', ''))  # no figure is typed


def test_a_page_without_marks_is_refused():
    assert within_marks(f'a\n{BEGIN}\nold\n{END}\nb', 'new\n') == f'a\n{BEGIN}\n\nnew\n\n{END}\nb'
    for text in ('a', f'{END}{BEGIN}', f'{BEGIN}{BEGIN}{END}'):
        with pytest.raises(ValueError, match='x.md: needs the lines'):
            within_marks(text, 'new', 'x.md')
