# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A file of which nothing is known is read or refused, and neither waited for nor fallen over."""

import os

import pytest

from nasiam_mm.files.regular import read_json


def test_json_is_read(tmp_path):
    (tmp_path / 'a.json').write_text('{"é": [1]}', encoding='utf-8')
    assert read_json(tmp_path / 'a.json') == {'é': [1]}


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (os.mkfifo, 'no regular file'),
        (os.mkdir, 'no regular file'),
        (lambda path: path.symlink_to('/dev/zero'), 'no regular file'),
        (lambda path: path.write_bytes(b'\xff\xfe{'), 'is not text in UTF-8'),
        (lambda path: path.write_text('[' * 100_000), 'nested too deeply'),
        (lambda path: path.write_text('9' * 5000), 'limit'),
    ],
)
def test_what_is_none_is_refused(make, message, tmp_path):
    make(tmp_path / 'a.json')
    with pytest.raises(ValueError, match=message):
        read_json(tmp_path / 'a.json')


def test_what_is_not_there_is_missing(tmp_path):
    (tmp_path / 'a.json').symlink_to('nowhere')
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / 'a.json')
