# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims: a file written through atomic_path is the old one or the new one, whoever writes."""

import errno
import os
import stat

import pytest
from mmengine.fileio import LocalBackend, get_file_backend

import nasiam_mm.engine.hooks.checkpoint_hook  # noqa: F401
from nasiam_mm.files.atomic import atomic_path, write_json, write_text


@pytest.mark.parametrize('old', [None, b'old'])
def test_failed_write_leaves_the_old_file(tmp_path, old):
    path = tmp_path / 'file'
    if old is not None:
        path.write_bytes(old)
    with pytest.raises(ZeroDivisionError), atomic_path(path) as tmp:
        tmp.write_bytes(b'half')
        raise ZeroDivisionError
    assert [p.read_bytes() for p in tmp_path.iterdir()] == ([] if old is None else [old])


def test_name_appears_only_when_the_file_is_whole(tmp_path):
    path = tmp_path / 'file'
    with atomic_path(path) as tmp:
        tmp.write_bytes(b'new')
        assert tmp.parent == tmp_path and not path.exists()
    assert path.read_bytes() == b'new'
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_writer_made_private_goes_by_the_umask(tmp_path):
    before = os.umask(0o022)
    try:
        with atomic_path(tmp_path / 'file') as tmp:
            os.close(os.open(tmp, os.O_CREAT | os.O_WRONLY, 0o600))
    finally:
        os.umask(before)
    assert (tmp_path / 'file').stat().st_mode & 0o777 == 0o644


def put(content, path):
    get_file_backend(backend_args=dict(backend='atomic')).put(content.encode(), path)


@pytest.mark.parametrize('write', [put, write_text, write_json])
def test_every_writer_goes_by_the_umask_and_waits_for_the_disk(tmp_path, monkeypatch, write):
    synced = []
    real = os.fsync
    monkeypatch.setattr(os, 'fsync', lambda fd: (synced.append(os.fstat(fd).st_mode), real(fd)))
    before = os.umask(0o077)
    try:
        write('text', tmp_path / 'folder/file')
    finally:
        os.umask(before)
    assert (tmp_path / 'folder/file').stat().st_mode & 0o777 == 0o600
    # The content, then the name.
    assert [stat.S_ISREG(synced[0]), stat.S_ISDIR(synced[1])] == [True, True]
    assert issubclass(type(get_file_backend(backend_args=dict(backend='atomic'))), LocalBackend)


@pytest.mark.parametrize('write', [put, write_text])
def test_a_write_that_fails_is_one_line_with_path_cause_and_mend(tmp_path, monkeypatch, write):
    write('old', tmp_path / 'file')

    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(OSError, match=r"cannot write '.*/file': No space left.*; free space or"):
        write('new', tmp_path / 'file')
    assert [p.read_text() for p in tmp_path.iterdir()] == ['old']
    with pytest.raises(OSError, match=r"cannot write '.*/file/inner': (Not a dir|File exists)"):
        write('new', tmp_path / 'file/inner')


def test_an_error_of_another_file_is_not_told_as_one_of_writing(tmp_path):
    with pytest.raises(FileNotFoundError, match='none'), atomic_path(tmp_path / 'file'):
        (tmp_path / 'none').read_text()


def test_text_with_a_path_that_the_locale_could_not_decode(tmp_path):
    """Under LC_ALL=C Python keeps the bytes of such a path as surrogates."""
    target = tmp_path / 'last_checkpoint'
    get_file_backend(backend_args={'backend': 'atomic'}).put_text('/runs/\udcc3\udca9', target)
    assert target.read_bytes() == b'/runs/\xc3\xa9'
