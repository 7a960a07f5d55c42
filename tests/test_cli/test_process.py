# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A process ends with the status of its tool, after all that was to be done at its end."""

import os
import subprocess
import sys

import pytest

from tests.reduced import ROOT

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


def test_a_process_may_have_no_output():
    code = 'from nasiam_mm.cli.process import run_process\nrun_process(lambda: print("told"))'
    command = ['sh', '-c', 'exec "$@" >&-', 'sh', sys.executable, '-c', code]
    ended = subprocess.run(command, capture_output=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b'', b'')


def test_a_tool_that_another_program_runs_does_not_end_it():
    code = (
        'import runpy, sys\n'
        'sys.argv = ["train.py", "--help"]\n'
        'def call():\n'
        '    try: runpy.run_path("tools/train.py", run_name="__main__")\n'
        '    except SystemExit as end: assert end.code == 0\n'
        'call()\n'
        'class Kept:\n'
        '    def __del__(self): print("freed")\n'
        'kept = Kept()\n'
    )
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == 'freed', done.stderr


@pytest.mark.parametrize('words', [['tools/train.py'], ['-m', 'nasiam_mm', 'train']])
def test_scripts_and_modules_are_programs(words, tmp_path):
    # What is left to be freed at the end says whether it was.
    (tmp_path / 'sitecustomize.py').write_text(
        'class Kept:\n    def __del__(self): print("freed")\nkept = Kept()\n'
    )
    path = {**os.environ, 'PYTHONPATH': f'{tmp_path}:{ROOT}'}
    told = subprocess.run(
        [sys.executable, *words, '--help'], cwd=ROOT, env=path, capture_output=True, text=True
    )
    assert told.returncode == 0 and 'usage: nasiam train' in told.stdout
    assert 'freed' not in told.stdout
    other = subprocess.run([sys.executable, '-c', ''], env=path, capture_output=True, text=True)
    assert other.stdout == 'freed\n'


def test_a_fork_ends_as_it_will():
    code = (
        f'import os\n{BEGIN}'
        '    if not os.fork():\n'
        '        atexit._run_exitfuncs()\n'
        '        os._exit(5)\n'
        '    assert os.waitstatus_to_exitcode(os.wait()[1]) == 5\n'
        'run_process(main)\n'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_what_the_log_holds_back_is_written():
    code = (
        'import logging, logging.handlers, sys\n'
        'from nasiam_mm.cli.process import run_process\n'
        'def main():\n'
        '    target = logging.StreamHandler(sys.stdout)\n'
        '    log = logging.getLogger("held")\n'
        '    log.addHandler(logging.handlers.MemoryHandler(99, target=target))\n'
        '    log.warning("a line")\n'
        'run_process(main)\n'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, 'a line\n'), done.stderr
