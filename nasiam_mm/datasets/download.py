# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Bring files here whole or not at all: checked downloads that go on, npm packages."""

import contextlib
import fcntl
import http.client
import os
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from nasiam_mm.files.atomic import TMP_MARK
from nasiam_mm.files.digest import file_digest

_PART = '.part'
_CHUNK = 1 << 20
_UNREACHABLE = urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError
_NPM_OPTIONS = ['--ignore-scripts', '--fetch-retries=1', '--fetch-timeout=60000']


def remove_leftovers(folder: Path, downloads: bool = False) -> None:
    """Remove what killed runs left; with ``downloads`` also what could be gone on with."""
    partial = folder.glob(f'*{_PART}') if downloads else ()
    for path in [*folder.glob(f'.*{TMP_MARK}*'), *partial]:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)  # an npm left behind may still write there
        else:
            path.unlink()


@contextlib.contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Let one process at a time write into ``folder``; the others wait, and say so."""
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


def check_file(path: Path, algorithm: str, expected: str) -> None:
    """Raise a ValueError unless the file has the expected checksum."""
    found = file_digest(path, algorithm)
    if found != expected:
        raise ValueError(
            f'{path}: truncated or altered ({path.stat().st_size} bytes, {algorithm} {found[:12]} '
            f'instead of {expected[:12]})'
        )


def fetch_url(url: str, path: Path, md5: str, timeout: float = 10.0) -> None:
    """Download to ``path``, going on where an interrupted download stopped, in ``*.part``.

    ConnectionError if the host gives no answer for ``timeout`` seconds or stops in the middle;
    ValueError if what came is not the expected file, which is deleted.
    """
    part = path.with_name(path.name + _PART)
    offset = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={'Range': f'bytes={offset}-'} if offset else {})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            done = offset if response.status == 206 else 0
            length = int(response.headers.get('Content-Length') or 0)
            total = done + length
            tenths = -1
            with open(part, 'ab' if done else 'wb') as file:
                while chunk := response.read(_CHUNK):
                    file.write(chunk)
                    done += len(chunk)
                    if length and tenths != (tenths := 10 * done // total):
                        state = f'{done / 1e6:.0f} of {total / 1e6:.0f} MB'
                        print(f'downloading {path.name}: {state}', flush=True)
        if length and done < total:
            raise ConnectionError(f'stopped after {done} of {total} bytes; run again to go on')
    except urllib.error.HTTPError as error:
        # 416: the part is already as long as the file, or longer; the md5 decides.
        if not (error.code == 416 and offset):
            raise ConnectionError(f'{url}: HTTP status {error.code} ({error.reason})') from error
    except _UNREACHABLE as error:
        raise ConnectionError(f'{url}: {getattr(error, "reason", error)}') from error
    size = part.stat().st_size
    if file_digest(part, 'md5') != md5:
        part.unlink()
        raise ValueError(f'{url}: sent {size} bytes that are not the expected file')
    os.replace(part, path)


def fetch_npm_package(spec: str, path: Path, sha512: str) -> None:
    """Fetch the archive of ``name@1.2.3`` with ``npm pack``; none of its scripts is run.

    ConnectionError if npm is not installed or cannot bring it; ValueError if it brings another.
    """
    npm = shutil.which('npm')
    if npm is None:
        raise ConnectionError(f'npm package {spec}: the program npm is not installed')
    print(f'fetching npm package {spec}', flush=True)
    prefix = f'.{path.name}.'
    with tempfile.TemporaryDirectory(prefix=prefix, suffix=TMP_MARK, dir=path.parent) as folder:
        command = [npm, 'pack', spec, *_NPM_OPTIONS, '--pack-destination', folder]
        options = dict(stdin=subprocess.DEVNULL, capture_output=True, errors='replace')
        done = subprocess.run(command, check=False, **options)  # type: ignore[call-overload]
        archives = list(Path(folder).glob('*.tgz'))
        if done.returncode or len(archives) != 1:
            lines = (done.stdout + done.stderr).splitlines()
            errors = [x.split(' ', 2)[-1] for x in lines if x.lower().startswith('npm err')]
            reason = '; '.join(errors[:2]) or f'npm ended with status {done.returncode}'
            raise ConnectionError(f'npm package {spec}: {reason}')
        check_file(archives[0], 'sha512', sha512)
        os.replace(archives[0], path)
