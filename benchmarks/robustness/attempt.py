# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""One run of ``nasiam train`` in processes of its own, which signals are sent to."""

import atexit
import os
import re
import signal
import subprocess
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path

from benchmarks import ROOT
from benchmarks.robustness.recipe import KEPT

STARTED = 'Checkpoints will be saved to'
GONE_WITHIN = 60.0  # seconds: what a launcher needs to end the processes that one of them left
_COUNTED = re.compile(r'(iter|epoch)_\d+\.pth')
_LOGGED = re.compile(r'Epoch\(train\)\s+\[(\d+)\]\[\s*(\d+)/(\d+)\]')


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
    """A training that resumes where there is something to resume.

    One process is forked from this one, which has imported everything, so that a start costs
    little; several are started anew by tools/dist_train.sh.
    """

    def __init__(self, words: list[str], work_dir: Path, processes: int = 1) -> None:
        self.work_dir, self.processes = work_dir, processes
        work_dir.mkdir(exist_ok=True)
        self.log = work_dir / f'output_{len(list(work_dir.glob("output_*"))):03}.txt'
        self.status: int | None = None
        words = [*words, '--work-dir', str(work_dir), '--resume']
        self.pid = self._fork(words) if processes == 1 else self._launch(words)

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
            from nasiam_mm.cli.ending import run_tool
            from nasiam_mm.cli.main import dispatch

            sys.argv = ['nasiam', 'train', *words]
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

    def _launch(self, words: list[str]) -> int:
        port = str(20000 + os.getpid() % 9000 + int(self.log.stem[-3:]))
        python = Path(sys.executable).parent
        env = {**os.environ, 'PORT': port, 'PATH': f'{python}:{os.environ["PATH"]}'}
        config, *rest = words
        script = [str(ROOT / 'tools/dist_train.sh'), config, str(self.processes), *rest]
        with open(self.log, 'w', encoding='utf-8') as log:
            self._launcher = subprocess.Popen(
                script, stdout=log, stderr=subprocess.STDOUT, env=env, start_new_session=True
            )
        return self._launcher.pid

    def text(self) -> str:
        """Return what was printed so far."""
        return self.log.read_text(encoding='utf-8', errors='replace') if self.log.exists() else ''

    def wait_for_start(self) -> bool:
        """Wait for training to begin; return whether it did."""
        while not (started := STARTED in self.text()) and not self.has_ended():
            time.sleep(0.02)
        return started

    def has_ended(self) -> bool:
        """Whether the process, or the launcher, is gone."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status is not None

    def is_at(self, moment: str) -> bool:
        """Whether a checkpoint is being written, old ones removed, or an epoch evaluated."""
        if moment == 'evaluating':
            logged = _LOGGED.findall(self.text()[-4000:])
            return bool(logged) and logged[-1][1] == logged[-1][2]
        names = os.listdir(self.work_dir)
        if moment == 'writing':
            return any(name.startswith('.') for name in names)
        return sum(_COUNTED.fullmatch(name) is not None for name in names) > KEPT

    def send(self, number: signal.Signals, target: str) -> None:
        """Send a signal to the launcher, to one of its processes, or to all."""
        ranks = [pid for pid in self.living() if pid != self.pid]
        chosen = {'launcher': [self.pid], 'rank': ranks[-1:] or [self.pid]}
        for pid in chosen.get(target, [self.pid, *ranks]):
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

    def resumed_at(self) -> int:
        """Return the iteration that the process started from."""
        return int([0, *re.findall(r'after (\d+) iterations', self.text())][-1])

    def iteration(self) -> int:
        """Return how many iterations the run had behind it."""
        if not (logged := _LOGGED.findall(self.text())):
            return self.resumed_at()
        epoch, batch, length = map(int, logged[-1])
        return (epoch - 1) * length + batch
