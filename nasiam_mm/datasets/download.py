# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Bring files here whole or not at all: checked downloads that go on, npm packages."""

import contextlib
import hashlib
import http.client
import os
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from nasiam_mm.files.atomic import TMP_MARK

__all__ = [
    'check_file',
    'fetch_npm_package',
    'fetch_url',
    'file_checksum',
    'folder_lock',
    'remove_leftovers',
]

PART_SUFFIX = '.part'
CHUNK = 1 << 20


def progress(label: str, total: int | None = None) -> Callable[..., None]:
    """Return a function that prints a line every ten percent of ``total``, or every ten seconds."""
    start, last = time.monotonic(), -1.0

    def show(done: int = 0) -> None:
        nonlocal last
        seconds = time.monotonic() - start
        step = 10 * done // total if total else seconds // 10
        if step != last:
            size = f'{done / 1e6:.0f} of {total / 1e6:.0f} MB, ' if total else ''
            print(f'{label}: {size}{seconds:.0f} s', flush=True)
        last = step

    return show


def remove_leftovers(folder: Path, downloads: bool = False) -> None:
    """Remove what killed runs left in ``folder``.

    Args:
        folder (Path): Where to look.
        downloads (bool): Whether partial downloads go too, which could be gone on with.
            Defaults to False.
    """
    partial = folder.glob(f'*{PART_SUFFIX}') if downloads else ()
    for path in [*folder.glob(f'.*{TMP_MARK}*'), *partial]:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)  # an npm left behind may still write there
        else:
            path.unlink()


@contextlib.contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Let one process at a time write into ``folder``; the others wait, and say so."""
    try:
        import fcntl
    except ImportError:  # no such locks on Windows
        yield
        return
    fd = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f'{folder}: another process is writing here, waiting for it', flush=True)
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def file_checksum(path: Path, algorithm: str) -> str:
    """Return the hex digest of a file by a :mod:`hashlib` algorithm."""
    digest = hashlib.new(algorithm)
    with open(path, 'rb') as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def check_file(path: Path, algorithm: str, expected: str) -> None:
    """Raise a ValueError unless the file has the expected checksum."""
    found = file_checksum(path, algorithm)
    if found != expected:
        raise ValueError(
            f'{path}: truncated or altered ({path.stat().st_size} bytes, {algorithm} {found[:12]} '
            f'instead of {expected[:12]})'
        )


def fetch_url(url: str, path: Path, md5: str, timeout: float = 10.0) -> None:
    """Download ``url`` to ``path``, going on where an interrupted download stopped.

    Args:
        url (str): Where the file is.
        path (Path): Where to put it; until it is whole and checked it is called ``*.part``.
        md5 (str): The md5 of the whole file.
        timeout (float): Seconds without an answer after which the host counts as unreachable.

    Raises:
        ConnectionError: If the host cannot be reached or stops in the middle.
        ValueError: If what came is not the expected file; it is deleted.
    """
    part = path.with_name(path.name + PART_SUFFIX)
    offset = part.stat().st_size if part.exists() else 0
    try:
        _append_from(url, part, offset, timeout)
    except urllib.error.HTTPError as error:
        # 416: the part is already as long as the file, or longer; the md5 decides.
        if not (error.code == 416 and offset):
            raise ConnectionError(f'{url}: HTTP status {error.code} ({error.reason})') from error
    except (
        urllib.error.URLError,
        http.client.HTTPException,
        TimeoutError,
        ConnectionError,
    ) as error:
        raise ConnectionError(f'{url}: {getattr(error, "reason", error)}') from error
    size = part.stat().st_size
    if file_checksum(part, 'md5') != md5:
        part.unlink()
        raise ValueError(f'{url}: sent {size} bytes that are not the expected file')
    os.replace(part, path)


def _append_from(url: str, part: Path, offset: int, timeout: float) -> None:
    """Write the bytes of ``url`` from ``offset`` on to the end of ``part``."""
    headers = {'Range': f'bytes={offset}-'} if offset else {}
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=timeout) as response:
        resumed = response.status == 206
        done = offset if resumed else 0
        length = response.headers.get('Content-Length')
        total = done + int(length) if length else None
        show = progress(f'downloading {part.name.removesuffix(PART_SUFFIX)}', total)
        with open(part, 'ab' if resumed else 'wb') as file:
            while chunk := response.read(CHUNK):
                file.write(chunk)
                done += len(chunk)
                show(done)
    if total is not None and done < total:
        raise ConnectionError(f'stopped after {done} of {total} bytes; run again to go on')


def fetch_npm_package(spec: str, path: Path, sha512: str) -> None:
    """Fetch the archive of a package with ``npm pack``; none of its scripts is run.

    Args:
        spec (str): Name and version, as in ``name@1.2.3``.
        path (Path): Where to put the archive.
        sha512 (str): The sha512 of the archive, in hex.

    Raises:
        ConnectionError: If npm is not installed or cannot bring the package.
        ValueError: If what came is not the expected file.
    """
    npm = shutil.which('npm')
    if npm is None:
        raise ConnectionError(f'npm package {spec}: the program npm is not installed')
    prefix = f'.{path.name}.'
    with tempfile.TemporaryDirectory(prefix=prefix, suffix=TMP_MARK, dir=path.parent) as folder:
        command = [npm, 'pack', spec, '--ignore-scripts', '--pack-destination', folder]
        command += ['--fetch-retries=1', '--fetch-retry-mintimeout=1000', '--fetch-timeout=60000']
        with open(Path(folder, 'npm.log'), 'w+', encoding='utf-8', errors='replace') as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
            show = progress(f'fetching npm package {spec}')
            try:
                while process.poll() is None:
                    show()
                    time.sleep(0.1)
            finally:
                process.kill()
                process.wait()
            log.seek(0)
            errors = [line for line in log if line.lower().startswith('npm err')]
        archives = list(Path(folder).glob('*.tgz'))
        if process.returncode or len(archives) != 1:
            reason = '; '.join(line.split(' ', 2)[-1].strip() for line in errors[:2])
            reason = reason or f'npm ended with status {process.returncode}'
            raise ConnectionError(f'npm package {spec}: {reason}')
        check_file(archives[0], 'sha512', sha512)
        os.replace(archives[0], path)
