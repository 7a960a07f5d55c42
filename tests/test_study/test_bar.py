# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The bar of a study: every training has its name and its share of the whole, which only grows."""

import re
import sys

import pytest

from nasiam_mm.console.screen import Console
from nasiam_mm.console.terms import duration
from nasiam_mm.runs.commands import run_command
from nasiam_mm.study.bar import StudyBar
from tests.test_study.played import worker


class Drawn(Console):
    """A console that somebody looks at, and that keeps what it draws."""

    is_live = True

    def __init__(self):
        super().__init__()
        self.drawn = []

    def draw(self, head, share, told):
        self.drawn.append((head, share, told))


def test_a_study_is_shown_from_its_first_training_to_its_last(tmp_path, monkeypatch):
    monkeypatch.setattr('nasiam_mm.study.jobs.read_test', lambda *_: 44.0)
    console, lines = Drawn(), []
    # A played training takes less than the time between two looks: each is looked at at its end.
    bar = StudyBar(console)
    one = worker(tmp_path, tell=lines.append, trials=4, max_seeds=3)
    one.begins, one.jobs.store.launch = bar.begin, bar.launch
    assert one.run()
    heads = list(dict.fromkeys(head for head, _, _ in console.drawn))
    assert heads[:4] == [f'trial {n}/4' for n in (1, 2, 3, 4)]
    assert len(heads) > 4 and all(re.fullmatch(r'comparison \S+, seed \d+', h) for h in heads[4:])
    shares = [share for _, share, _ in console.drawn]
    assert shares == sorted(shares) and shares[0] == 0 and 0.8 <= shares[-1] < 1
    # Four trials, and two heads on three seeds.
    assert {round(share * 10) for share in shares} == {*range(10)}
    assert len(lines) == len(set(lines)), 'a line that says what the last one said'
    assert 'left' not in lines[-1]


@pytest.mark.parametrize('left', [None, 600.0])
def test_time_left_of_the_training_and_of_all(monkeypatch, left):
    now = [1000.0]
    monkeypatch.setattr('nasiam_mm.study.bar.time.monotonic', lambda: now[0])
    console = Drawn()
    bar = StudyBar(console)
    bar._began, bar._left, bar._head, bar._counts = now[0], left, 'trial 3/6', (2, 6)
    bar.move(0.0)
    now[0] += 30
    bar.move(0.25)
    now[0] += 900  # far over what was estimated: never less than what is left of this one
    bar.move(0.75)
    (_, first, begun), (_, second, quarter), (_, _, late) = console.drawn
    assert (first, second) == (2 / 8, 2.25 / 8)
    if left is None:
        assert (begun, quarter) == ('', 'left 1:30 of this training')
    else:
        assert begun == 'left at most 10:00 of all'
        assert quarter == 'left 1:30 of this training, at most 9:30 of all'
        rest = duration(930 / 3)
        assert late == f'left {rest} of this training, at most {rest} of all'


def test_how_far_a_training_is_comes_from_what_it_says_now(tmp_path):
    console = Drawn()
    bar = StudyBar(console)
    said = tmp_path / 'console.log'
    said.write_text('epoch 9/9: loss 1\n')  # of an earlier attempt
    words = 'print("epoch 1/4: loss 3", flush=True); import time; time.sleep(0.5)'
    with said.open('a') as file:
        assert bar.launch([sys.executable, '-S', '-c', words], file) == 0
    assert [share for _, share, _ in console.drawn][-1] == 0.25


def test_without_a_terminal_nothing_is_drawn_or_asked(tmp_path):
    given = {}

    def launch(command, console, **more):
        given.update(more)
        return run_command(command, console, **more)

    with (tmp_path / 'a.log').open('w') as file:
        bar = StudyBar(Console(bar=False), launch)
        assert bar.launch([sys.executable, '-S', '-c', ''], file, keeps=()) == 0
    assert given == {'look': None, 'keeps': ()}
