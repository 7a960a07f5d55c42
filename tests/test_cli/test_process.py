# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A process ends with the status of its tool, after all that was to be done at its end."""

import os
import subprocess
import sys

import pytest

BEGIN = (
    'import atexit, sys, threading, time\n'
    'from nasiam_mm.cli.process import run_process\n'
    'def later():\n'
    '    time.sleep(0.3)\n'
    '    print("thread")\n'
    'class Late:\n'
    '    def __del__(self):\n'
    '        print("freed")\n'
    'kept = Late()\n'
    'def main():\n'
    '    atexit.register(print, "registered")\n'
    '    threading.Thread(target=later).start()\n'
    '    sys.stdout.write("no newline ")\n'
)


@pytest.mark.parametrize(
    ('ending', 'status', 'said'),
    [
        ('pass', 0, ''),
        ('sys.exit()', 0, ''),
        ('sys.exit(7)', 7, ''),
        ('sys.exit("why")', 1, 'why'),
        ('raise ValueError("bad input")', 2, 'error: bad input'),
        ('raise KeyboardInterrupt', 130, 'interrupted'),
        ('raise AssertionError("a defect")', 1, 'AssertionError: a defect'),
    ],
)
def test_status_output_threads_and_exit_functions_are_kept(ending, status, said):
    # 'bad input' of this script's own main is the user's where a module of ours says it.
    code = f'__name__ = "nasiam_mm.here"\n{BEGIN}    {ending}\nrun_process(main)\n'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    # Nothing is freed one by one: 'freed' is not said.
    assert done.stdout == 'no newline thread\nregistered\n'
    assert (done.stderr.splitlines() or [''])[-1].strip() == said


def test_a_reader_that_has_gone_is_no_success():
    code = f'{BEGIN}    time.sleep(1)\nrun_process(main)\n'
    buffered = {name: value for name, value in os.environ.items() if name != 'PYTHONUNBUFFERED'}
    process = subprocess.Popen(
        [sys.executable, '-c', code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=buffered
    )
    process.stdout.close()
    assert process.wait() == 1
    assert process.stderr.read() == b''
