# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""One run of a command in processes of its own, which signals are sent to."""

import atexit
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

GONE_WITHIN = 60.0  # seconds: what a launcher needs to end the processes that one of them left


def import_all() -> None:
    """Import what a training does, before the first fork, and spare it the layout of configs."""
    import matplotlib.pyplot  # noqa: F401
    import mmpretrain.datasets
    import mmpretrain.engine
    import mmpretrain.evaluation
    import mmpretrain.models  # noqa: F401
    from yapf.yapflib import yapf_api

    import nasiam_mm.engine  # noqa: F401

    # yapf takes longer than an iteration, for each checkpoint.
    yapf_api.FormatCode = lambda text, **_: (text, False)


class Attempt:
    """A command at work on a folder, which goes on where there is something to go on with.

    Without a ``program``, a process is forked from this one, which has imported everything, so that
    a start costs little, and runs ``nasiam`` with the words. A program is started anew, with
    processes below it.
    """

    def __init__(self, words: Sequence[str], work_dir: Path, program: Sequence[str] = ()) -> None:
        self.work_dir, self.has_others = work_dir, bool(program)
        work_dir.mkdir(exist_ok=True)
        self.log = work_dir / f'output_{len(list(work_dir.glob("output_*"))):03}.txt'
        self.status: int | None = None
        self.pid = self._start([*program, *words]) if program else self._fork(list(words))

    def _fork(self, words: list[str]) -> int:
        sys.stdout.flush()
        if pid := os.fork():
            return pid
        status = 1
        try:
            os.setsid()
            output = os.open(self.log, os.O_WRONLY | os.O_CREAT, 0o666)
            os.dup2(output, 1)
            os.dup2(output, 2)
            sys.stdout = sys.stderr = open(output, 'w', buffering=1, encoding='utf-8')  # noqa: SIM115
            os.environ['NASIAM_VERBOSE'] = '1'  # how far it is, stands in the log
            from nasiam_mm.cli.ending import run_tool
            from nasiam_mm.cli.main import dispatch

            sys.argv = ['nasiam', *words]
            run_tool(dispatch)
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            atexit._run_exitfuncs()
            sys.stdout.flush()
            os._exit(status)

    def _start(self, command: list[str]) -> int:
        port = str(20000 + os.getpid() % 9000 + int(self.log.stem[-3:]))
        python = Path(sys.executable).parent
        env = {**os.environ, 'PORT': port, 'PATH': f'{python}:{os.environ["PATH"]}'}
        env['NASIAM_VERBOSE'] = '1'
        with open(self.log, 'w', encoding='utf-8') as log:
            self._program = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, env=env, start_new_session=True
            )
        return self._program.pid

    def text(self) -> str:
        """Return what was printed so far."""
        return self.log.read_text(encoding='utf-8', errors='replace') if self.log.exists() else ''

    def has_ended(self) -> bool:
        """Whether the process, or the program, is gone."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status is not None

    def send(self, number: signal.Signals, target: str) -> None:
        """Send a signal to the process or program, to one of those below it, or to all."""
        below = [pid for pid in self.living() if pid != self.pid]
        chosen = {'launcher': [self.pid], 'rank': below[-1:] or [self.pid]}
        for pid in chosen.get(target, [self.pid, *below]):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def wait(self, seconds: float = 600.0) -> int:
        """Wait for the end and return the status; TimeoutError if none comes."""
        until = time.monotonic() + seconds
        while not self.has_ended():
            if time.monotonic() > until:
                raise TimeoutError(f'no end within {seconds:.0f} s; the output is in {self.log}')
            time.sleep(0.02)
        return self.status

    def orphans(self) -> list[int]:
        """Return the processes that outlive the end by more than a launcher needs, ended now."""
        until = time.monotonic() + GONE_WITHIN
        while (left := self.living()) and time.monotonic() < until:
            time.sleep(0.1)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        return left

    def living(self) -> list[int]:
        """Return the processes of this attempt: of its session, or with its folder as argument."""
        found = []
        mark = os.fsencode(self.work_dir)
        for folder in Path('/proc').glob('[0-9]*'):
            try:
                # The name in it may be of any bytes.
                told = (folder / 'stat').read_text(encoding='utf-8', errors='replace')
                state, _, _, session = told.rpartition(')')[2].split()[:4]
                words = (folder / 'cmdline').read_bytes().split(b'\0')
            except OSError:
                continue  # gone meanwhile
            if state != 'Z' and (int(session) == self.pid or mark in words):
                found.append(int(folder.name))
        return sorted(found)
