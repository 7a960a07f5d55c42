# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Put collected evidence where tables are read: checked, and never over other evidence."""

import json
import os
import shutil
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.offline.collecting import COLLECTED
from benchmarks.offline.set_up import digest, unpack
from benchmarks.papers.rows import ROW, read_row
from nasiam_mm.files.atomic import atomic_path


def import_collected(archive: Path, target: Path) -> list[str]:
    """Bring collected runs and tables to a folder, after every check has passed.

    Into ``docs/results/NAME`` to be committed, or into the ``--work-dir`` of
    another machine, which then makes none of these runs again. The ends of
    the consoles stay in the archive.

    Args:
        archive: What ``collect`` wrote.
        target: Folder of tables and ``runs/``.

    Returns:
        Names of the runs.

    Raises:
        FileNotFoundError: If there is no such archive.
        ValueError: If a file is not as its hash says, a row does not stand with
            its log, or another row of the same run is there.
    """
    if not archive.is_file():
        raise FileNotFoundError(f"archive '{archive}' does not exist")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, 'collected')
        try:
            unpack(archive, folder)
        except (tarfile.TarError, EOFError, OSError) as error:
            raise ValueError(f'{archive} is damaged: {error}; bring it again') from error
        content = _read(archive, folder)
        runs = _check_runs(archive, folder, target)
        for name in (*content['files'], COLLECTED):
            if not name.startswith('console/'):
                with atomic_path(target / name) as whole:
                    shutil.copyfile(folder / name, whole)
    return runs


def import_state(archive: Path, work_dir: Path) -> list[str]:
    """Bring begun runs, as joined from the parts of ``collect --state``, to a work directory.

    Returns:
        Names of the runs.

    Raises:
        ValueError: If a run is there already, or the archive is damaged.
    """
    work_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=work_dir) as temporary:
        folder = Path(temporary, 'state')
        unpack(archive, folder)
        found = sorted((folder / 'runs').iterdir())
        there = [run.name for run in found if (work_dir / 'runs' / run.name).exists()]
        if there:
            raise ValueError(f'{work_dir}: {there[0]} is there already; remove it or keep it')
        (work_dir / 'runs').mkdir(exist_ok=True)
        for run in found:
            os.rename(run, work_dir / 'runs' / run.name)
    return [run.name for run in found]


def _read(archive: Path, folder: Path) -> dict[str, Any]:
    """Read the list of an archive and check every file against it."""
    try:
        content = json.loads((folder / COLLECTED).read_text(encoding='utf-8'))
        listed = content['files']
    except (FileNotFoundError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f'{archive} holds no {COLLECTED}: collect did not write it') from error
    names = {str(path.relative_to(folder)) for path in folder.rglob('*') if path.is_file()}
    if odd := sorted(names ^ {*listed, COLLECTED}):
        raise ValueError(f'{archive}: {odd[0]} is not both listed and there; bring it again')
    for name, expected in listed.items():
        if digest(folder / name) != expected:
            raise ValueError(f'{archive}: the hash of {name} is not the one listed; bring it again')
    return content


def _check_runs(archive: Path, folder: Path, target: Path) -> list[str]:
    """Check that rows stand with their logs, and that none takes the place of another."""
    runs = sorted(path.parent for path in folder.glob(f'runs/*/{ROW}'))
    for run in runs:
        row = read_row(run)
        if row is None:
            raise ValueError(f'{archive}: row {run.name} does not stand, its log is another')
        genotype = run / 'genotype.json'
        if row['genotype_sha256'] is not None and (
            not genotype.is_file() or digest(genotype) != row['genotype_sha256']
        ):
            raise ValueError(f'{archive}: the genotype of row {run.name} is not the one it names')
        there = target / 'runs' / run.name
        if (there / ROW).is_file() and digest(there / ROW) != digest(run / ROW):
            raise ValueError(
                f'{there} holds another row of this run; remove it, or import elsewhere'
            )
    return [run.name for run in runs]
