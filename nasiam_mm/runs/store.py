# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Trainings by what decides them: what is made is not made again, what was interrupted goes on.

    folder of a run: config.py  train/  console.log  times.json  row.json

Its name ends in a digest of its config, its seed and the contents of the files that it names.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from nasiam_mm.files.atomic import write_json, write_text
from nasiam_mm.files.config_file import config_as_text
from nasiam_mm.runs.commands import (
    CONSOLE,
    INTERRUPTED,
    last_line,
    locked,
    read_times,
    run_command,
    timed,
)
from nasiam_mm.runs.identity import EVALUATION, TRAINING, identity_digest, run_settings
from nasiam_mm.runs.record import merge_logs, package_versions
from nasiam_mm.runs.work_dir import remove_leftovers

ROW, WORK = 'row.json', 'train'
TRAIN = (sys.executable, '-m', 'nasiam_mm', 'train')
SEARCH = (sys.executable, '-m', 'nasiam_mm', 'search')
Row = dict[str, Any]
# Name of a scalar -> the epochs at which it was logged, with its value.
Curves = Mapping[str, Mapping[int, float]]


class RunFailed(RuntimeError):
    """A training ended with an error; the message is what it said."""


class RunStopped(Exception):
    """A training was told to end before its last epoch; it can go on from where it stands."""


def run_digest(cfg: Config) -> str:
    """Return the sha256 of all that decides the figures of a run."""
    plain = cfg.to_dict()
    settings = run_settings(plain, (*TRAINING, *EVALUATION))
    return identity_digest({**settings, 'data': (plain.get('data') or {}).get('root')})


class RunStore:
    """Runs in a folder, made one by one by ``nasiam train``, here or in other processes.

    Args:
        folder: Of the runs; made when there is one.
        command: That trains; the config and its options follow.
        search: That searches by gradient, likewise.
        variables: Of its environment, beside ours.
        launch: What runs a command to its end, as :func:`run_command` does.
    """

    def __init__(
        self,
        folder: Path,
        command: Sequence[str] = TRAIN,
        search: Sequence[str] = SEARCH,
        variables: Mapping[str, str] | None = None,
        launch: Callable[..., int] = run_command,
    ) -> None:
        self.folder, self.command, self.search = folder, command, search
        self.variables, self.launch = variables, launch

    def of(self, name: str, cfg: Config) -> Path:
        """Return the folder of a run: a name for people, its seed and its digest."""
        seed = (cfg.get('randomness') or {}).get('seed')
        return self.folder / f'{name}-seed{seed}-{run_digest(cfg)[:12]}'

    def row(self, folder: Path) -> Row | None:
        """Return what a finished run left; None where none is."""
        try:
            row = json.loads((folder / ROW).read_text(encoding='utf-8'))
        except (FileNotFoundError, ValueError):
            return None
        # JSON holds epochs as text.
        row['curves'] = {
            name: {int(epoch): value for epoch, value in curve.items()}
            for name, curve in row['curves'].items()
        }
        return row

    def make(
        self,
        folder: Path,
        cfg: Config,
        look: Callable[[Curves], bool] | None = None,
        options: Sequence[str] = (),
    ) -> Row:
        """Train a run, from wherever it stands, and return what it left.

        Args:
            folder: Of the run, see :meth:`of`.
            cfg: Its config.
            look: Asked as epochs end, with all they have logged; true stops the run.
            options: Of the command that trains.

        Raises:
            RunFailed: If the training ends with an error.
            RunStopped: If it was stopped by ``look``.
            BlockingIOError: If another process is at this run.
            KeyboardInterrupt: If it was interrupted.
        """
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder) as lock:
            if (row := self.row(folder)) is not None:
                if look is not None:
                    look(row['curves'])
                return row
            remove_leftovers(folder)
            cfg = cfg.copy()
            cfg.work_dir = str(folder / WORK)
            write_text(config_as_text(cfg), folder / 'config.py')
            return self._train(folder, cfg, look, options, lock)

    def _train(
        self, folder: Path, cfg: Config, look: Callable | None, options: Sequence[str], lock: int
    ) -> Row:
        config, work = folder / 'config.py', folder / WORK
        command = [*self.command, str(config), '--work-dir', str(work), '--resume', *options]
        stopped, seen = False, 0

        def follow() -> bool:
            nonlocal stopped, seen
            if look is not None and not stopped and (size := _log_size(work)) != seen:
                seen, stopped = size, look(read_curves(work))
            return stopped

        with timed(folder, 'train'), (folder / CONSOLE).open('a', encoding='utf-8') as console:
            # A thread that waits for others must not spin where several trainings share the cores.
            variables = {'OMP_WAIT_POLICY': 'PASSIVE', **(self.variables or {})}
            # The training of a worker that is killed saves what it has; nobody begins meanwhile.
            status = self.launch(
                command,
                console,
                variables=variables,
                look=follow if look else None,
                keeps=(lock,),
            )
        if status in INTERRUPTED:
            raise RunStopped(folder.name) if stopped else KeyboardInterrupt
        if status:
            raise RunFailed(_reason(status, folder))
        row = {
            'run': folder.name,
            'digest': run_digest(cfg),
            'seed': (cfg.get('randomness') or {}).get('seed'),
            'epochs': cfg.train_cfg.max_epochs,
            'curves': read_curves(work),
            'seconds': round(read_times(folder)['train']['wall'], 3),
            'process_seconds': round(read_times(folder)['train']['process'], 3),
            'versions': package_versions(),
        }
        write_json(row, folder / ROW)
        return row


def read_curves(work: Path) -> dict[str, dict[int, float]]:
    """Read what a run logged at the ends of its epochs: scalar -> epoch -> last value."""
    try:
        entries = merge_logs(work)
    except FileNotFoundError:
        return {}
    curves: dict[str, dict[int, float]] = {}
    for entry in entries:
        if isinstance(epoch := entry.get('epoch'), int):
            for name, value in entry.items():
                if name not in ('epoch', 'step', 'iter') and isinstance(value, (int, float)):
                    curves.setdefault(name, {})[epoch] = value
    return curves


def checkpoint_of(folder: Path, row: Row) -> Path:
    """Return the checkpoint of the last epoch of a finished run."""
    return folder / WORK / f'epoch_{row["epochs"]}.pth'


def _log_size(work: Path) -> int:
    """Return how much a run has logged, which tells whether there is anything new."""
    return sum(os.stat(file).st_size for file in work.glob('*/vis_data/scalars.json'))


def _reason(status: int, folder: Path) -> str:
    if status < 0:
        mend = 'killed' if status != -9 else 'killed, as by a system that is out of memory'
        return f'the training was {mend} (signal {-status}); see {folder / CONSOLE}'
    return f'{last_line(folder)} ({folder / CONSOLE})'
