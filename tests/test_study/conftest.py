# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A real PostgreSQL, and workers in processes of their own."""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_MISSING = "PostgreSQL is not installed: Debian's package postgresql (.ci/run installs it)"


def _programs() -> Path | None:
    """Return the folder of PostgreSQL's programs, the newest where there are several."""
    found = sorted(Path('/usr/lib/postgresql').glob('*/bin/initdb'))
    on_path = shutil.which('initdb')
    return found[-1].parent if found else Path(on_path).parent if on_path else None


class Server:
    """A server of PostgreSQL in a folder of its own, which can be taken away for a while."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.folder, self.programs = folder, programs
        # The server refuses to run as root.
        self.user = 'postgres' if getpass.getuser() == 'root' else None
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            self.port = free.getsockname()[1]
        if self.user:
            shutil.chown(folder, self.user)
        options = ('--auth=trust', '--username=study', '--no-sync', '--encoding=UTF8')
        self._call('initdb', '-D', folder / 'data', *options)
        self.start()

    def _call(self, program: str, *words: object) -> None:
        command = [str(self.programs / program), *map(str, words)]
        none = subprocess.DEVNULL
        streams = dict(stdin=none, stdout=none, stderr=none)
        subprocess.run(command, check=True, user=self.user, cwd=self.folder, **streams)

    def start(self) -> None:
        options = f'-p {self.port} -c listen_addresses=127.0.0.1 -c fsync=off -k {self.folder}'
        log = self.folder / 'log'
        self._call('pg_ctl', '-D', self.folder / 'data', '-w', '-o', options, '-l', log, 'start')

    def stop(self) -> None:
        self._call('pg_ctl', '-D', self.folder / 'data', '-m', 'immediate', 'stop')

    @property
    def url(self) -> str:
        return f'postgresql://study@127.0.0.1:{self.port}/postgres'

    def cut_connections(self) -> int:
        """End all connections of others, as a network that fails does; return how many."""
        import psycopg

        with psycopg.connect(self.url) as connection, connection.cursor() as cursor:
            cursor.execute(
                'SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity '
                "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
            return cursor.fetchone()[0]


@pytest.fixture(scope='session')
def postgres() -> Iterator[Server]:
    programs = _programs()
    if programs is None:
        pytest.fail(_MISSING)
    folder = Path(tempfile.mkdtemp(prefix='pg'))
    server = Server(folder, programs)
    yield server
    server.stop()
    shutil.rmtree(folder)


@pytest.fixture(scope='package', autouse=True)
def configs_written_plainly() -> Iterator[None]:
    from mmengine.config import Config

    from tests.test_study.played import written_plainly

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Config, 'pretty_text', property(written_plainly))
        yield


@contextmanager
def forked(work: Callable[[], object], count: int = 1) -> Iterator[list[int]]:
    """Do something in processes of their own; what still runs at the end is killed."""
    processes = []
    for _ in range(count):
        sys.stdout.flush(), sys.stderr.flush()
        if (process := os.fork()) == 0:
            status = 1
            try:
                work()
                status = 0
            except SystemExit as end:
                status = int(end.code or 0)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        processes.append(process)
    try:
        yield processes
    finally:
        for process in processes:
            try:
                os.kill(process, signal.SIGKILL)
                os.waitpid(process, 0)
            except (ProcessLookupError, ChildProcessError):
                pass


def wait(process: int) -> int:
    """Wait for a process; return its exit status."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
