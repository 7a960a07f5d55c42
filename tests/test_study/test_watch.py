# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Several workers on one terminal: every line whole, one bar that counts what all of them do."""

import contextlib
import os
import pty
import re
import subprocess
import sys
import threading

import pytest

from nasiam_mm.console.screen import Console
from nasiam_mm.study.plan import Job
from nasiam_mm.study.progress import ended_line, seconds_left, trainings_left
from nasiam_mm.study.watch import Watch, told
from tests.test_study.played import worker
from tests.test_study.test_bar import Drawn

# Says lines in pieces, as a process does that is interrupted as it writes.
TALKS = r"""
import sys, time
out = sys.stdout.buffer
for n in range(20):
    out.write(f'[worker {sys.argv[1]}] trial '.encode()); out.flush()
    time.sleep(0.01)
    out.write(f'{n} of 20, \u00e4\n'.encode()); out.flush()
out.write(f'[worker {sys.argv[1]}] ends'.encode())
out.flush()
sys.exit(3)
"""


def talkers(count=2):
    return [
        subprocess.Popen([sys.executable, '-S', '-c', TALKS, str(n)], stdout=subprocess.PIPE)
        for n in range(1, count + 1)
    ]


@pytest.fixture(scope='module')
def plans(tmp_path_factory):
    """Where a study of four trials stands before and after each of its trainings."""
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('nasiam_mm.study.jobs.read_test', lambda *_: 44.0)
        one = worker(tmp_path_factory.mktemp('study'), trials=4, max_seeds=3)
        one.begins = lambda plan, job: found.append(plan)
        assert one.run()
        return [*found, one.plan()]


class Lines(Drawn):
    """Keeps what it is to say, too."""

    def __init__(self):
        super().__init__()
        self.said = []

    def say(self, line):
        self.said.append(line)


def test_lines_of_workers_are_whole_and_each_is_said_once(plans):
    console, workers = Lines(), talkers()
    Watch(console, lambda: (plans[2], [('trial 3/4', 0.5)])).follow(workers)
    assert [process.returncode for process in workers] == [3, 3]
    for number in (1, 2):
        own = [line for line in console.said if line.startswith(f'[worker {number}] ')]
        trials = [f'[worker {number}] trial {n} of 20, ä' for n in range(20)]
        assert own == [*trials, f'[worker {number}] ends']
    assert len(console.said) == 42
    # One bar, however many they are.
    assert {head for head, _, _ in console.drawn} == {'2 of at most 10 trainings'}


def screen(text, columns=200):
    """Return the lines that a terminal shows: by what moves the cursor and clears a line."""
    rows, row, column = [''], 0, 0
    for piece in re.findall(r'\x1b\[[0-9;?]*[A-Za-z]|[\r\n]|[^\x1b\r\n]+', text):
        if piece == '\n':
            row += 1
            rows += [''] * (row + 1 - len(rows))
        elif piece == '\r':
            column = 0
        elif piece == '\x1b[2K':
            rows[row] = ''
        elif re.fullmatch(r'\x1b\[\d*A', piece):
            row -= int(piece[2:-1] or 1)
        elif not piece.startswith('\x1b'):
            rows[row] = rows[row][:column].ljust(column) + piece + rows[row][column + len(piece) :]
            column += len(piece)
            assert column <= columns
    return rows


def read_all(end, said):
    with contextlib.suppress(OSError):  # the other end was closed
        while piece := os.read(end, 2**16):
            said.append(piece)


def test_on_a_terminal_no_line_stands_in_a_bar_and_one_bar_is_left(plans, monkeypatch):
    monkeypatch.setenv('TERM', 'xterm')
    monkeypatch.setenv('COLUMNS', '200')
    end, terminal = pty.openpty()
    with os.fdopen(terminal, 'w') as stream:
        console = Console()
        console._stream = stream
        assert console.is_live
        monkeypatch.setattr('nasiam_mm.console.bar._SECONDS', 0.0)
        watch = Watch(console, lambda: (plans[1], [('trial 1/4', 0.5), ('trial 2/4', 0.25)]))
        said = []
        reader = threading.Thread(target=read_all, args=(end, said))
        reader.start()
        watch.follow(talkers())
        watch.draw()
        console.say('the end')  # above the bar, which stays
        stream.flush()
    reader.join()
    os.close(end)
    rows = [row for row in screen(b''.join(said).decode()) if row.strip()]
    assert rows[-2].rstrip() == 'the end'
    lines, bars = rows[:-2], rows[-1:]
    assert len(lines) == 42 and all(re.fullmatch(r'\[worker \d\] .*', row) for row in lines)
    assert bars[0].startswith('1 of at most 10 trainings') and 'trial 2/4 25%' in bars[0]


def test_the_bar_counts_what_all_workers_do(plans):
    head, share, words = told(plans[2], [('trial 3/4', 0.5), ('trial 4/4', 0.25)])
    assert head == '2 of at most 10 trainings' and share == pytest.approx(2.75 / 10)
    assert words.startswith('trial 3/4 50%, trial 4/4 25%, at most 0:')
    _, _, many = told(plans[2], [(f'trial {n}/4', n / 10) for n in range(1, 6)])
    assert many.startswith('5 run, 10% to 50% done')
    heads = [told(plan, [])[1] for plan in plans]
    assert heads == sorted(heads) and heads[0] == 0
    done, left = trainings_left(plans[-1])
    assert heads[-1] == done / (done + left) > 0.5


def test_workers_share_what_is_left(plans):
    alone = seconds_left(plans[3])
    assert seconds_left(plans[3], 2) == pytest.approx(alone / 2)
    trial = sum(t.seconds for t in plans[3].done) / 3
    assert seconds_left(plans[3], 1, 0.5) == pytest.approx(alone - trial / 2)


def test_every_training_is_told_in_a_line(plans):
    last = plans[-1]
    for place, trial in enumerate(last.trials, start=1):
        line = ended_line(last, Job('search'), trial.number, trial.key, trial.seed)
        assert line.startswith(f'trial {place}/4 ({trial.source}, {trial.key}): {trial.score:.2f}')
    check = next(c for c in last.checks if c.phase == 'verify')
    line = ended_line(last, Job('verify'), 99, check.key, check.seed)
    assert line.startswith(f'comparison {check.key}, seed {check.seed}: {check.score:.2f} in 0:0')
    assert ended_line(last, Job('test'), 0, check.key, check.seed) == ''


def test_what_runs_is_known_by_its_console(tmp_path):
    one = worker(tmp_path, trials=4)
    job = one.plan().next()
    with one.storage.working(), one.storage.exclusive():
        trial = one._take(job, one.plan())
        assert one.running() == [('trial 1/4', 0.0)]
        trial.set_user_attr('run', 'a')
        (tmp_path / 'runs/a').mkdir(parents=True)
        (tmp_path / 'runs/a/console.log').write_text('epoch 1/4: loss 3\nepoch 3/4: loss 2\n')
        assert one.running() == [('trial 1/4', 0.75)]
