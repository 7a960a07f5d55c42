# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A command in a fork saves what it has when we are interrupted, as one in a process does."""

import signal
import time

import pytest

from benchmarks.heads import warm


@pytest.mark.parametrize('error', [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_command_saves_before_we_end(error, tmp_path, monkeypatch):
    saved = tmp_path / 'saved'

    def command(words):
        """Save at SIGTERM; at Ctrl-C, of which the terminal tells the command itself, soon."""
        signal.signal(signal.SIGTERM, lambda *_: (saved.write_text('saved'), exit(143)))
        time.sleep(1.0 if error is KeyboardInterrupt else 60)
        saved.write_text('saved')

    def interrupt(*_):
        raise error

    monkeypatch.setattr(warm, 'dispatch', command)
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with (tmp_path / 'console.log').open('w') as console, pytest.raises(error):
            signal.setitimer(signal.ITIMER_REAL, 0.5)
            warm.run_forked(['train'], console)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert saved.read_text() == 'saved'
