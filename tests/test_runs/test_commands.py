# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Commands run as processes: what they write, how long they take, how they are told to end."""

import json
import subprocess
import sys
import time

import pytest

from nasiam_mm.runs.commands import last_line, locked, read_times, run_command, timed

SLEEPER = """
import pathlib, signal, sys, time
def stop(*_):
    pathlib.Path(sys.argv[1]).write_text('saved')
    sys.exit(143)
signal.signal(signal.SIGTERM, stop)
print('ready', flush=True)
time.sleep(600)
"""


def python(code, *argv):
    return [sys.executable, '-c', code, *map(str, argv)]


def test_what_a_command_says_and_how_it_ends(tmp_path):
    code = 'import os, sys; print(os.environ["A"], os.getcwd()); print("error: why"); sys.exit(3)'
    with (tmp_path / 'console.log').open('w') as console:
        assert run_command(python(code), console, cwd=tmp_path, variables={'A': 'b'}) == 3
    assert (tmp_path / 'console.log').read_text().startswith(f'b {tmp_path}')
    assert last_line(tmp_path) == 'why'
    assert last_line(tmp_path / 'nowhere') == 'no output'


def test_a_command_that_is_looked_at_saves_before_it_ends(tmp_path):
    saved = tmp_path / 'saved'
    with (tmp_path / 'console.log').open('w') as console:
        status = run_command(
            python(SLEEPER, saved), console, look=lambda: 'ready' in last_line(tmp_path)
        )
    assert (status, saved.read_text()) == (143, 'saved')


def test_a_command_is_looked_at_once_it_has_ended(tmp_path):
    looks = []
    with (tmp_path / 'console.log').open('w') as console:
        assert run_command(python('pass'), console, look=lambda: looks.append(1)) == 0
    assert looks


def test_a_command_has_so_many_seconds(tmp_path):
    with (tmp_path / 'c').open('w') as console, pytest.raises(subprocess.TimeoutExpired):
        run_command(python('import time; time.sleep(600)'), console, seconds=0.2)


def test_times_add_up(tmp_path):
    for _ in range(2):
        with timed(tmp_path, 'step'), (tmp_path / 'c').open('w') as console:
            run_command(python('sum(range(2_000_000))'), console)
    first = json.loads((tmp_path / 'times.json').read_text())['step']
    with pytest.raises(OSError), timed(tmp_path, 'step'):
        time.sleep(0.05)
        raise OSError
    assert read_times(tmp_path)['step']['wall'] >= first['wall'] + 0.05
    assert first['process'] > 0


def test_a_lock_is_kept_by_the_command_that_takes_it(tmp_path):
    lock = tmp_path / 'lock'
    code = 'import sys; sys.stdout.write("x"); sys.stdout.flush(); sys.stdin.read()'
    with locked(lock) as handle:
        child = subprocess.Popen(
            python(code), pass_fds=(handle,), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        child.stdout.read(1)
        with pytest.raises(BlockingIOError), locked(lock):
            pass
    with pytest.raises(BlockingIOError), locked(lock):
        pass
    child.communicate()
    with locked(lock):
        pass
