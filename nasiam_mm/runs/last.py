# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The last whole checkpoint of a run, and what a process that died left beside it."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from nasiam_mm.files.checkpoint import DamagedCheckpointError, is_damaged, read_checkpoint

INTERRUPTED = 'interrupted.pth'  # written on SIGTERM, outside the schedule of checkpoints
_TRAINING_STATE = {'state_dict', 'optimizer', 'message_hub'}
# What a process that died leaves of a file it wrote by atomic_path; earlier versions named some
# without the mark.
_LEFTOVER = re.compile(
    r'\.(.+\.pth|last_checkpoint)\.[a-z0-9_]{8}|\..+\.[a-z0-9_]{8}\.tmp(\.\w+)?|last_healthy\.tmp'
)


@dataclass(frozen=True)
class LastCheckpoint:
    """What was found of a run's checkpoints: the last, how far it is, what was passed over, why."""

    path: Path | None = None
    epoch: int = 0
    iteration: int = 0
    notes: list[str] = field(default_factory=list)


def find_last_checkpoint(folder: str | os.PathLike) -> LastCheckpoint:
    """Find the checkpoint that is furthest in training and whole.

    Goes by what the files hold, not by their names; between equals one of the schedule comes
    before one of an interruption, and then ``last_checkpoint`` decides, which may be empty or
    outdated. Files that hold no state of training (exported weights, the best model) do not count.
    UnsafeCheckpointError if reading a file could run code.
    """
    pointer = Path(folder, 'last_checkpoint')
    named = Path(pointer.read_text(encoding='utf-8').strip()).name if pointer.is_file() else None
    candidates: list[tuple[int, int, bool, bool, Path]] = []
    notes = []
    for path in sorted(Path(folder).glob('*.pth')):
        if not path.is_file():
            notes.append(f'skipped {path.name}: no regular file')
            continue
        try:
            checkpoint = read_checkpoint(path, 'cpu', mmap=True)
        except DamagedCheckpointError:
            notes.append(f'skipped {path.name}: cut short or damaged')
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
        return LastCheckpoint(path, epoch, iteration, notes)
    return LastCheckpoint(notes=notes)


def remove_leftovers(folder: str | os.PathLike) -> list[str]:
    """Remove the temporary files of a process that died while it wrote, and return their names."""
    places = (Path(folder), Path(folder, 'genotypes'))
    paths = [path for place in places if place.is_dir() for path in place.iterdir()]
    left = [path for path in paths if path.is_file() and _LEFTOVER.fullmatch(path.name)]
    for path in left:
        path.unlink(missing_ok=True)
    return [path.name for path in left]
