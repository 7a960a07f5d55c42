# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A work directory has one owner and one live run (contract C13)."""

import json
import os
import socket
from pathlib import Path

from nasiam_mm.files.atomic import write_json
from nasiam_mm.runs.identity import Identity, identity_digest, less_extension, name_differences

OWNER = 'owner.json'
_LOCK = 'owner.lock'
# What a run leaves that another one would write over.
_PRODUCTS = ('*.pth', 'last_checkpoint', 'genotype.json')
_held: dict[Path, int] = {}  # folder -> file that this process has locked


def claim(
    work_dir: str | os.PathLike, identity: Identity, resume: bool, extend: bool = False
) -> None:
    """Make a run the owner of its work directory and its only live run.

    A folder in which a run has left no checkpoint and no genotype is free for another.

    Args:
        work_dir: The folder; it is made.
        identity: What decides the run, see :func:`nasiam_mm.runs.identity.run_identity`.
        resume: Whether the run goes on with what is there.
        extend: Whether it may then have more epochs and another rate.

    Raises:
        ValueError: One line, if the folder is another run's, or this run's and ``resume`` is
            False, or if a run is going on in it.
    """
    folder = Path(work_dir)
    folder.mkdir(parents=True, exist_ok=True)
    hold(folder)
    elsewhere = 'take another --work-dir, or remove this one'
    if holds_a_run(folder):
        owner = read_owner(folder)
        if owner is None and not resume:
            raise ValueError(
                f"work directory '{folder}' holds a run that left no {OWNER}; go on with it by "
                f'--resume, or {elsewhere}'
            )
        theirs, ours = less_extension(owner or identity), less_extension(identity)
        differences = name_differences(
            *((theirs, ours) if extend else (owner or identity, identity))
        )
        if differences and theirs == ours:
            elsewhere = f'go on with it by --resume --extend, or {elsewhere}'
        if differences:
            raise ValueError(
                f"work directory '{folder}' is another run's: {differences}; {elsewhere}"
            )
        if not resume:
            raise ValueError(
                f"work directory '{folder}' holds this run already; go on with it by --resume, or "
                f'{elsewhere}'
            )
    content = {'digest': identity_digest(identity), 'decided by': identity}
    write_json(content, folder / OWNER)


def holds_a_run(folder: str | os.PathLike) -> bool:
    """Tell whether a run has left a checkpoint or a genotype in a folder."""
    return any(any(Path(folder).glob(pattern)) for pattern in _PRODUCTS)


def read_owner(folder: Path) -> Identity | None:
    """Return what decides the run that owns a folder; None where no whole record of it is."""
    try:
        return json.loads((folder / OWNER).read_text(encoding='utf-8'))['decided by']
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def hold(folder: Path) -> None:
    """Lock a folder for this process, until :func:`release` or its end, however it comes.

    Raises:
        ValueError: If another process holds it.
    """
    try:
        import fcntl
    except ImportError:  # no such locks on Windows
        return
    folder = folder.resolve()
    if folder in _held:
        return
    handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        # Not flock: workers of loaders are forked, and would keep that of a killed run for a while.
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        holder = os.read(handle, 200).decode(errors='replace').strip()
        os.close(handle)
        raise ValueError(
            f"a run is going on in work directory '{folder}' ({holder or 'another process'}); "
            'wait for its end, or take another --work-dir'
        ) from None
    os.ftruncate(handle, 0)
    os.write(handle, f'process {os.getpid()} on {socket.gethostname()}\n'.encode())
    _held[folder] = handle


def release(folder: str | os.PathLike) -> None:
    """Let other processes have a folder again."""
    handle = _held.pop(Path(folder).resolve(), None)
    if handle is not None:
        os.close(handle)
