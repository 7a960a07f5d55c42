# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Archives that are the same for the same content, cut into parts with a manifest."""

import gzip
import hashlib
import os
import shutil
import tarfile
from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.offline.set_up import FORMAT, MANIFEST, digest, gather, join
from benchmarks.offline.set_up import read_manifest as read_manifest
from nasiam_mm.files.atomic import write_json

MIB = 1 << 20


def write_tar(target: Path, files: Iterable[tuple[str, Path]], compress: bool = True) -> None:
    """Write files to a tar archive without owner and time, so that equal content is equal bytes.

    Args:
        target: The archive, gzipped.
        files: Name inside the archive and path of each file.
        compress: Whether it is worth compressing.
    """
    level = 6 if compress else 0
    with (
        open(target, 'wb') as raw,
        gzip.GzipFile('', 'wb', level, raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode='w', format=tarfile.PAX_FORMAT) as tar,
    ):
        for name, path in sorted(files):
            info = tarfile.TarInfo(name)
            info.size = path.stat().st_size
            info.mode = 0o644
            with open(path, 'rb') as file:
                tar.addfile(info, file)


def cut(payload: Path, folder: Path, part_bytes: int) -> dict[str, Any]:
    """Cut a file into parts and return its entry of the manifest; the file is removed.

    Raises:
        ValueError: If parts would be empty.
    """
    if part_bytes < 1:
        raise ValueError(f'a part must hold 1 byte or more, got {part_bytes}')
    parts: list[dict[str, Any]] = []
    size = payload.stat().st_size
    with open(payload, 'rb') as file:
        while len(parts) * part_bytes < size:
            part = folder / f'{payload.name}.{len(parts):03d}'
            content = file.read(part_bytes)
            part.write_bytes(content)
            found = hashlib.sha256(content).hexdigest()
            parts.append({'name': part.name, 'size': len(content), 'sha256': found})
    entry = {'size': size, 'sha256': digest(payload), 'parts': parts}
    payload.unlink()
    return entry


def write_manifest(folder: Path, payloads: Mapping[str, Any], **more: Any) -> None:
    """Write the manifest of parts."""
    write_json({'format': FORMAT, **more, 'payloads': dict(payloads)}, folder / MANIFEST)


@contextmanager
def replacing(folder: Path):
    """Give a new folder which takes the place of ``folder`` when the block succeeds.

    Raises:
        ValueError: If ``folder`` is there and holds no manifest: it is not ours.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / MANIFEST).is_file():
        raise ValueError(f'{folder} is there and is no folder of parts; name another')
    fresh, old = (folder.with_name(f'.{folder.name}.{name}') for name in ('new', 'old'))
    for leftover in (fresh, old):
        shutil.rmtree(leftover, ignore_errors=True)
    fresh.mkdir(parents=True)
    try:
        yield fresh
        if folder.exists():
            os.rename(folder, old)
        os.rename(fresh, folder)
    finally:
        for leftover in (fresh, old):
            shutil.rmtree(leftover, ignore_errors=True)


def join_parts(folder: Path, out: Path) -> list[Path]:
    """Join the payloads of a folder of parts.

    Args:
        folder: Folder of manifest and parts.
        out: Folder for the whole files.

    Returns:
        The whole files.

    Raises:
        ValueError: If a part is missing or damaged.
    """
    written = []
    for name, payload in read_manifest(folder)['payloads'].items():
        kept = out / f'.{name}.parts'
        missing = gather(payload['parts'], folder, kept)
        if missing:
            shutil.rmtree(kept)
            raise ValueError(f'{folder}: parts are missing: {" ".join(missing)}')
        try:
            join(payload, kept, out / name)
        finally:
            shutil.rmtree(kept)
        written.append(out / name)
    return written
