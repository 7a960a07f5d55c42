# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A work directory: its one owner and one live run (contract C13), its last whole checkpoint."""

import fcntl
import json
import os
import re
import socket
from pathlib import Path
from typing import NamedTuple

from nasiam_mm.files.atomic import write_json
from nasiam_mm.files.checkpoint import DamagedCheckpointError, is_damaged, read_checkpoint
from nasiam_mm.files.marks import OWNER
from nasiam_mm.runs.identity import (
    Identity,
    identity_digest,
    less_extension,
    name_differences,
    take_beginning,
)

INTERRUPTED = 'interrupted.pth'  # written on SIGTERM, outside the schedule of checkpoints
EXPORTED = 'backbone.pth'  # written for a detector before it trains
_PRODUCTS = ('*.pth', 'last_checkpoint', 'genotype.json')  # not to be written over
_TRAINING_STATE = {'state_dict', 'optimizer', 'message_hub'}
# What a process that died leaves of a file it wrote by atomic_path; earlier versions named some
# without the mark.
_LEFTOVER = re.compile(
    r'\.(.+\.pth|last_checkpoint)\.[a-z0-9_]{8}|\..+\.[a-z0-9_]{8}\.tmp(\.\w+)?|last_healthy\.tmp'
)
_held: dict[Path, int] = {}  # folder -> file that this process has locked


def claim(work_dir: str | Path, identity: Identity, resume: bool, extend: bool = False) -> None:
    """Make a run, known by its ``identity``, the only live one of a folder that no other owns.

    A folder, which is made, is free while no checkpoint and no genotype is in it. ValueError if it
    is another run's, this one's without ``resume``, or a run is going on in it; with ``extend`` the
    run may have more epochs and another rate than the owner.
    """
    folder = Path(work_dir)
    folder.mkdir(parents=True, exist_ok=True)
    hold(folder)
    if problem := name_conflict(folder, identity, resume, extend):
        raise ValueError(problem)


def name_conflict(
    folder: Path, identity: Identity, resume: bool, extend: bool = False, partly: bool = False
) -> str | None:
    """Say why a folder is not for a run, None where it is; ``partly`` compares what it says."""
    if not holds_a_run(folder):
        return None
    owner = read_owner(folder)
    if owner and partly:
        owner = {name: value for name, value in owner.items() if name in identity}
    if owner and resume:
        take_beginning(owner, identity)
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
    return f"work directory '{folder}' {problem}; {', or '.join(mends)}" if problem else None


def own(work_dir: str | Path, identity: Identity) -> None:
    """Note a run as the owner of its work directory, once nothing can refuse it any more."""
    content = {'digest': identity_digest(identity), 'decided by': identity}
    write_json(content, Path(work_dir) / OWNER)


def holds_a_run(folder: str | Path) -> bool:
    """Tell whether a run has left a checkpoint or a genotype in a folder."""
    found = (path.name for pattern in _PRODUCTS for path in Path(folder).glob(pattern))
    return any(name != EXPORTED for name in found)


def read_owner(folder: Path) -> Identity | None:
    """Return what decides the run that owns a folder; None where no whole record of it is."""
    try:
        return json.loads((folder / OWNER).read_text(encoding='utf-8'))['decided by']
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def hold(folder: Path) -> None:
    """Lock a folder until :func:`release` or this process's end; ValueError if another holds it."""
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
        there = f"work directory '{folder}' ({holder})"
        mend = 'wait for its end, or take another --work-dir'
        raise ValueError(f'a run is going on in {there}; {mend}') from None
    os.ftruncate(handle, 0)
    os.write(handle, f'process {os.getpid()} on {socket.gethostname()}\n'.encode())
    _held[folder] = handle


def release(folder: str | Path) -> None:
    """Let other processes have a folder again."""
    if (handle := _held.pop(Path(folder).resolve(), None)) is not None:
        os.close(handle)


class LastCheckpoint(NamedTuple):
    """The last of a run's checkpoints, how far it is, and what was passed over and why."""

    notes: list[str]
    path: Path | None = None
    epoch: int = 0
    iteration: int = 0


def find_last_checkpoint(folder: str | os.PathLike) -> LastCheckpoint:
    """Find the checkpoint that is furthest in training and whole.

    Goes by what the files hold; between equals one of the schedule comes before an interruption's,
    then ``last_checkpoint`` decides, which may be empty or outdated. Files without the state of
    training (exported weights, the best model) do not count; UnsafeCheckpointError for unsafe ones.
    """
    pointer = Path(folder, 'last_checkpoint')
    named = Path(pointer.read_text(encoding='utf-8').strip()).name if pointer.is_file() else None
    candidates: list[tuple[int, int, bool, bool, Path]] = []
    notes = []
    for path in sorted(Path(folder).glob('*.pth')):
        try:
            checkpoint = read_checkpoint(path, 'cpu', mmap=True)
        except (FileNotFoundError, DamagedCheckpointError) as error:
            is_file = isinstance(error, DamagedCheckpointError)
            why = 'cut short or damaged' if is_file else 'no regular file'
            notes.append(f'skipped {path.name}: {why}')
            continue
        if not isinstance(checkpoint, dict) or not checkpoint.keys() >= _TRAINING_STATE:
            continue
        meta = checkpoint.get('meta')
        done = meta if isinstance(meta, dict) else {}
        iteration, epoch = done.get('iter'), done.get('epoch')
        if isinstance(iteration, int) and isinstance(epoch, int):
            rank = (path.name != INTERRUPTED, path.name == named)
            candidates.append((iteration, epoch, *rank, path))
        else:
            notes.append(f'skipped {path.name}: does not say how far it is')
    for iteration, epoch, _, is_named, path in sorted(candidates, reverse=True):
        # So far only its table of contents was read.
        if is_damaged(path):
            notes.append(f'skipped {path.name}: damaged, a checksum is wrong')
            continue
        if not is_named:
            notes.append(f'ignored last_checkpoint: it names {named or "no file"}')
        return LastCheckpoint(notes, path, epoch, iteration)
    return LastCheckpoint(notes)


def remove_leftovers(folder: str | os.PathLike) -> list[str]:
    """Remove the temporary files of a process that died while it wrote, and return their names."""
    places = (Path(folder), Path(folder, 'genotypes'))
    paths = [path for place in places if place.is_dir() for path in place.iterdir()]
    left = [path for path in paths if path.is_file() and _LEFTOVER.fullmatch(path.name)]
    for path in left:
        path.unlink(missing_ok=True)
    return [path.name for path in left]
