# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A work directory has one owner and one live run (contract C13)."""

import json
import os
import socket
from pathlib import Path

from nasiam_mm.files.atomic import write_json
from nasiam_mm.runs.identity import Identity, identity_digest, less_extension, name_differences

OWNER = 'owner.json'
# What a run leaves that another one would write over.
_PRODUCTS = ('*.pth', 'last_checkpoint', 'genotype.json')
_held: dict[Path, int] = {}  # folder -> file that this process has locked


def claim(
    work_dir: str | os.PathLike, identity: Identity, resume: bool, extend: bool = False
) -> None:
    """Make a run, known by its ``identity``, the owner of its work directory and its only live run.

    A folder, which is made, is free while a run has left no checkpoint and no genotype in it.
    ValueError if it is another run's, this run's without ``resume``, or a run is going on in it;
    with ``extend`` the run may have more epochs and another rate than the owner.
    """
    folder = Path(work_dir)
    folder.mkdir(parents=True, exist_ok=True)
    hold(folder)
    if any(any(folder.glob(pattern)) for pattern in _PRODUCTS):
        owner = read_owner(folder)
        whole = (owner or identity, identity)
        common = (less_extension(whole[0]), less_extension(identity))
        problem, mends = '', ['take another --work-dir, or remove this one']
        if differences := name_differences(*(common if extend else whole)):
            problem = f"is another run's: {differences}"
            if common[0] == common[1]:
                mends.insert(0, 'go on with it by --resume --extend')
        elif not resume:
            problem = 'holds this run already' if owner else f'holds a run that left no {OWNER}'
            mends.insert(0, 'go on with it by --resume')
        if problem:
            raise ValueError(f"work directory '{folder}' {problem}; {', or '.join(mends)}")
    write_json({'digest': identity_digest(identity), 'decided by': identity}, folder / OWNER)


def read_owner(folder: Path) -> Identity | None:
    """Return what decides the run that owns a folder; None where no whole record of it is."""
    try:
        return json.loads((folder / OWNER).read_text(encoding='utf-8'))['decided by']
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def hold(folder: Path) -> None:
    """Lock a folder for this process, until :func:`release` or its end, however it comes.

    ValueError if another process holds it.
    """
    try:
        import fcntl
    except ImportError:  # no such locks on Windows
        return
    folder = folder.resolve()
    if folder in _held:
        return
    handle = os.open(folder / 'owner.lock', os.O_RDWR | os.O_CREAT, 0o666)
    try:
        # Not flock: workers of loaders are forked, and would keep that of a killed run for a while.
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        holder = os.read(handle, 200).decode(errors='replace').strip() or 'another process'
        os.close(handle)
        raise ValueError(
            f"a run is going on in work directory '{folder}' ({holder}); wait for its end, or take "
            'another --work-dir'
        ) from None
    os.ftruncate(handle, 0)
    os.write(handle, f'process {os.getpid()} on {socket.gethostname()}\n'.encode())
    _held[folder] = handle


def release(folder: str | os.PathLike) -> None:
    """Let other processes have a folder again."""
    if (handle := _held.pop(Path(folder).resolve(), None)) is not None:
        os.close(handle)
