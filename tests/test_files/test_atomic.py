# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims: a file written through atomic_path is the old one or the new one."""

import os

import pytest

from nasiam_mm.files.atomic import atomic_path


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


def test_file_has_the_usual_mode(tmp_path):
    before = os.umask(0o027)
    try:
        with atomic_path(tmp_path / 'file') as tmp:
            tmp.write_bytes(b'')
    finally:
        os.umask(before)
    assert (tmp_path / 'file').stat().st_mode & 0o777 == 0o640
