# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Pack code, data and wheels into parts for a machine without a network."""

import gzip
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.offline import set_up
from benchmarks.offline.parts import MIB, cut, replacing, write_manifest, write_tar
from benchmarks.offline.set_up import CODE, DATA, WHEELS, read_manifest
from benchmarks.offline.wheels import HAVE, gather_wheels

PLATFORMS = ('manylinux_2_28_x86_64', 'manylinux_2_27_x86_64', 'manylinux_2_17_x86_64')
CIFAR10 = (
    'train_images.npy', 'train_labels.npy', 'test_images.npy', 'test_labels.npy', 'source.json',
)  # fmt: skip


def pack(
    root: Path,
    out: Path,
    python: str,
    data: Path,
    have: Sequence[str] = HAVE,
    platforms: Sequence[str] = PLATFORMS,
    part_mib: float = 60,
    is_dirty_taken: bool = False,
) -> dict[str, Any]:
    """Pack the project for a machine without a network.

    The same commit, pins and data give the same bytes. An earlier pack in
    ``out`` is replaced as a whole.

    Args:
        root: Root of the project, a git checkout.
        out: Folder of the parts.
        python: Version of the machine's Python.
        data: Folder of CIFAR-10's arrays.
        have: Names, or patterns of names, of what is installed there.
        platforms: Platform tags that the machine takes.
        part_mib: Largest part.
        is_dirty_taken: Whether a tree with changes is packed, tracked files alone.

    Returns:
        The manifest.

    Raises:
        FileNotFoundError: If the data is missing.
        RuntimeError: If git or pip fails.
        ValueError: If the tree has changes, or something does not fit.
    """
    missing = [name for name in CIFAR10 if not (data / name).is_file()]
    if missing:
        raise FileNotFoundError(f'{data} lacks {", ".join(missing)}; make data brings it')
    commit, tree, is_dirty = _commit(root, is_dirty_taken)
    with tempfile.TemporaryDirectory() as temporary, replacing(out) as fresh:
        wheels = gather_wheels(root, Path(temporary), have, python, platforms)
        _archive(root, tree, fresh / CODE)
        write_tar(fresh / DATA, [(f'cifar10/{name}', data / name) for name in CIFAR10])
        # Wheels are compressed already.
        write_tar(fresh / WHEELS, [(path.name, path) for path in wheels], compress=False)
        part_bytes = int(part_mib * MIB)
        payloads = {name: cut(fresh / name, fresh, part_bytes) for name in (CODE, DATA, WHEELS)}
        shutil.copyfile(set_up.__file__, fresh / 'set_up.py')
        write_manifest(
            fresh,
            payloads,
            commit=commit,
            dirty=is_dirty,
            python=python,
            platforms=list(platforms),
            have=list(have),
            wheels=[path.name for path in wheels],
        )
    return read_manifest(out)


def unchanged(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Name the parts that need not be sent again after an earlier pack was."""
    same = [
        after['payloads'][name]
        for name, payload in before['payloads'].items()
        if after['payloads'].get(name, {}).get('sha256') == payload['sha256']
    ]
    return [part['name'] for payload in same for part in payload['parts']]


def _commit(root: Path, is_dirty_taken: bool) -> tuple[str, str, bool]:
    """Return HEAD, the commit to pack (HEAD or its tracked changes) and whether there are any."""
    head = _git(root, 'rev-parse', 'HEAD')
    changes = _git(root, 'status', '--porcelain').splitlines()
    if changes and not is_dirty_taken:
        raise ValueError(
            f'the tree has {len(changes)} changes ({changes[0].strip()}, ...); commit them, or '
            'give --dirty to pack those of tracked files'
        )
    return head, _git(root, 'stash', 'create') or head, bool(changes)


def _archive(root: Path, tree: str, target: Path) -> None:
    command = ['git', '-C', str(root), 'archive', '--format=tar', tree]
    run = subprocess.run(command, capture_output=True)
    if run.returncode:
        raise RuntimeError(f'git archive failed: {run.stderr.decode().strip()}')
    target.write_bytes(gzip.compress(run.stdout, 6, mtime=0))


def _git(root: Path, *arguments: str) -> str:
    command = ['git', '-C', str(root), *arguments]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        raise RuntimeError(f'git {arguments[0]} failed: {run.stderr.strip()}')
    return run.stdout.strip()
