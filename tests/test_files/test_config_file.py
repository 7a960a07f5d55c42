# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Configs that are data build nothing, and none that is broken ends in a traceback."""

import os
import time

import pytest
from mmengine.config import Config

from nasiam_mm.files.config_file import config_as_text, read_config
from nasiam_mm.files.config_text import read_config_text


@pytest.mark.parametrize('is_base', [False, True])
def test_tags_of_yaml_build_nothing(tmp_path, is_base):
    mark, path = tmp_path / 'mark', tmp_path / 'a.yaml'
    path.write_text(f'a: !!python/object/apply:os.mkdir ["{mark}"]\n')
    if is_base:
        (tmp_path / 'b.py').write_text("_base_ = './a.yaml'\n")
        path = tmp_path / 'b.py'
    with pytest.raises(ValueError, match='ConstructorError') as caught:
        read_config(path)
    assert not mark.exists() and '\n' not in str(caught.value)
    (tmp_path / 'c.yaml').write_text('a: 1\nb: [x, 2.5]\n')
    assert read_config(tmp_path / 'c.yaml').to_dict() == {'a': 1, 'b': ['x', 2.5]}


@pytest.mark.parametrize(
    ('name', 'content', 'told'),
    [
        ('a.json', b'[' * 10**5, 'nests too deep'),
        ('a.py', b'\xff\xfe', 'codec'),
        ('a.py', b'x = 1 / 0', 'ZeroDivisionError'),
        ('a.py', b"_base_ = ['./a.py']", 'its _base_ leads back to itself'),
        ('a.yaml', b'_base_: ./a.yaml', 'its _base_ leads back to itself'),
        ('a.yaml', b'{', 'ParserError'),
        ('a.py', None, 'is no file'),
    ],
)
def test_what_is_no_config_ends_soon_in_a_line(tmp_path, name, content, told):
    path = tmp_path / name
    path.write_bytes(content) if content else os.mkfifo(path)
    start = time.monotonic()
    with pytest.raises((ValueError, FileNotFoundError), match=told) as caught:
        read_config(path)
    assert time.monotonic() - start < 5
    assert '\n' not in str(caught.value) and len(str(caught.value)) <= 500


def test_what_stands_in_double_braces_is_no_variable_of_a_config(tmp_path):
    settings = dict(
        root='/a/{{ fileBasename }}/{{_base_.x}}',
        other='{{{ $HOME:x }}}',
        part=dict(n=["'{{ fileDirname }}"]),
    )
    path = tmp_path / 'a.py'
    path.write_text(config_as_text(Config(settings)))
    assert read_config(path).to_dict() == settings
    assert read_config_text(path.read_text()) == settings
