# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Where a study is kept: Optuna's journal, a file on one machine, or PostgreSQL for many.

Whoever takes a trial up does so alone (:meth:`Storage.exclusive`) and says who he is, so that the
trial of a worker that is gone is found and taken up by another.
"""

import hashlib
import os
import socket
import threading
import time
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, get_storage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from nasiam_mm.files.atomic import write_text
from nasiam_mm.runs.commands import locked
from nasiam_mm.study.address import check_address, shown
from nasiam_mm.study.orphans import begin_again
from nasiam_mm.study.patience import made_patient, patiently
from nasiam_mm.versions import require

HEARTBEAT = 30  # seconds between two signs of life of a worker on another machine
GRACE = 180  # seconds without one after which its trial is taken up by another
OPENING = 10.0  # seconds that one may be away when a worker begins
WORKER, HOST = 'worker', 'host'
NAMED = 'study.txt'  # whose folder it is


class _Lock:
    """A lock of a journal that ends with its process; Optuna's leave a file that others wait for.

    What a killed process had half written is cut off by the next one that writes.
    """

    def __init__(self, journal: Path) -> None:
        self.journal = journal

    def acquire(self) -> bool:
        self.held = locked(self.journal.with_suffix('.lock'), wait=True)
        self.held.__enter__()
        if self.journal.exists():
            with self.journal.open('rb+') as file:
                _cut_torn(file)
        return True

    def release(self) -> None:
        self.held.__exit__(None, None, None)


def _cut_torn(file: Any) -> None:
    """Cut a file off behind its last whole line."""
    size = end = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - 4096)
        file.seek(start)
        if (found := file.read(end - start).rfind(b'\n')) >= 0:
            end = start + found + 1
            break
        end = start
    if end < size:
        file.truncate(end)


class Storage:
    """The storage of a study, and this process's place among its workers.

    Args:
        folder: Of the study on this machine.
        name: Of the study.
        url: ``postgresql://...``; None for a journal in the folder.

    Raises:
        ValueError: If it cannot be reached, or is of another kind.
    """

    def __init__(self, folder: Path, name: str, url: str | None = None) -> None:
        self.folder, self.name, self.url = folder, name, url
        (folder / 'workers').mkdir(parents=True, exist_ok=True)
        # Locks tell who lives where processes share a system and the folder, and only there.
        self.host = f'{socket.gethostname()} {_boot()} {(folder / "workers").stat().st_ino}'
        self.worker = f'{os.getpid()}-{time.time_ns()}'
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', optuna.exceptions.ExperimentalWarning)
            self.backend = self._open()
        with locked(folder / 'study.lock', wait=True):
            if not (folder / NAMED).is_file():
                write_text(name, folder / NAMED)
            other = (folder / NAMED).read_text(encoding='utf-8')
            if other != name:
                what = f"'{folder}' holds study {other!r}, whose report would be written over"
                raise ValueError(f'{what}; take another --work-dir')

    def _open(self) -> BaseStorage:
        if self.url is None:
            file = self.folder / 'journal.log'
            lock = _Lock(file)
            return JournalStorage(JournalFileBackend(str(file), lock_obj=lock))  # type: ignore[arg-type]
        check_address(self.url)
        require('psycopg', 'postgresql')
        from optuna.storages import RDBStorage
        from sqlalchemy.exc import SQLAlchemyError

        def reach() -> RDBStorage:
            return RDBStorage(
                # Which driver the plain name means depends on the release of SQLAlchemy.
                url.replace('postgresql://', 'postgresql+psycopg://', 1),
                engine_kwargs={'pool_pre_ping': True, 'connect_args': {'connect_timeout': 10}},
                heartbeat_interval=HEARTBEAT,
                grace_period=GRACE,
            )

        url = self.url
        try:
            storage = patiently(reach, OPENING)
        except (SQLAlchemyError, StorageInternalError) as error:
            told = ' '.join(str(error.__cause__ or error).split('\n')[0].split())
            mend = 'start the server, or correct the address'
            what = f'--storage {shown(self.url)} cannot be reached: {told:.200}; {mend}'
            raise ValueError(what) from error
        self.engine = storage.engine
        # What a study asks: a call of the storage behind it may be within a broken transaction.
        return made_patient(get_storage(storage))

    def study(self, part: str = '') -> optuna.Study:
        """Open, or begin, a part of the study: trials have ``''``, their checks ``'checks'``."""
        name = f'{self.name}/{part}' if part else self.name
        with self.exclusive():
            return optuna.create_study(
                storage=self.backend, study_name=name, direction='maximize', load_if_exists=True
            )

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Be the only process of the study that takes something up, on all machines."""
        with locked(self.folder / 'study.lock', wait=True):
            if self.url is None:
                yield
            else:
                with _advisory_lock(self.engine, self.name):
                    yield

    @contextmanager
    def working(self) -> Iterator[None]:
        """Be a worker: as long as this lasts, what this process has taken up is its own."""
        path = self.folder / 'workers' / f'{self.worker}.lock'
        with locked(path):
            try:
                yield
            finally:
                path.unlink(missing_ok=True)

    def take(self, trial: optuna.Trial) -> None:
        """Note that a trial is this worker's; within :meth:`exclusive`, where it was asked for."""
        if self.url is not None:
            # Before it is ours, as one without any sign of life is not missed.
            self.backend.record_heartbeat(trial._trial_id)  # type: ignore[attr-defined]
        trial.set_user_attr(WORKER, self.worker)
        trial.set_user_attr(HOST, self.host)

    @contextmanager
    def alive(self, trial: optuna.Trial) -> Iterator[None]:
        """Give signs of life while a trial is worked at, where others cannot see our lock."""
        if self.url is None:
            yield
            return
        record = self.backend.record_heartbeat  # type: ignore[attr-defined]
        ended = threading.Event()

        def beat() -> None:
            while True:
                # One that stayed away for long may be back for the next sign.
                with suppress(StorageInternalError):
                    record(trial._trial_id)
                if ended.wait(HEARTBEAT):
                    return

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def free_orphans(self, study: optuna.Study) -> list[int]:
        """Queue the trials of workers that are gone again; within :meth:`exclusive`."""
        silent = self._silent(study)
        freed = []
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            host = trial.user_attrs.get(HOST, self.host)
            is_elsewhere = self.url is not None and host != self.host
            if trial._trial_id in silent or not (is_elsewhere or self._lives(trial)):
                begin_again(study, trial)
                freed.append(trial.number)
        return freed

    def _silent(self, study: optuna.Study) -> list[int]:
        """Return the trials whose workers give no sign of life any more."""
        if self.url is None:
            return []
        return self.backend._get_stale_trial_ids(study._study_id)  # type: ignore[attr-defined]

    def _lives(self, trial: FrozenTrial) -> bool:
        """Tell whether the worker of a trial runs; one that noted nothing died as it asked."""
        worker = trial.user_attrs.get(WORKER)
        path = self.folder / 'workers' / f'{worker}.lock'
        if worker is None or not path.exists():
            return False
        if worker == self.worker:
            return True
        try:
            with locked(path):
                path.unlink(missing_ok=True)
                return False
        except BlockingIOError:
            return True


@contextmanager
def _advisory_lock(engine: Any, name: str) -> Iterator[None]:
    """Hold PostgreSQL's lock of a study; it ends with the connection."""
    from sqlalchemy import text

    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], 'big', signed=True)

    def hold() -> Any:
        connection = engine.connect()
        try:
            connection.execute(text('SELECT pg_advisory_lock(:key)'), {'key': key})
        except BaseException:
            connection.invalidate()
            connection.close()
            raise
        return connection

    connection = patiently(hold)
    try:
        yield
    finally:
        try:
            connection.execute(text('SELECT pg_advisory_unlock(:key)'), {'key': key})
            connection.close()
        except Exception:  # a server that has gone has no lock either
            connection.invalidate()


def _boot() -> str:
    """Return what tells this start of this system from all others, as names of hosts do not."""
    try:
        return Path('/proc/sys/kernel/random/boot_id').read_text(encoding='ascii').strip()[:8]
    except OSError:
        return f'{uuid.getnode():x}'
