# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Configs are found by file or shipped name; what cannot be run or written back is one line."""

from argparse import Namespace
from pathlib import Path

import pytest
from mmengine.config import Config

from nasiam_mm.cli.config import merge_options
from nasiam_mm.cli.reading import find_config, load_config
from tests.reduced import ROOT

SEARCH = 'nasiam/simsiam_r18_search_cifar10.py'


@pytest.mark.parametrize('name', [SEARCH, f'configs/{SEARCH}', f'nasiam_mm::{SEARCH}'])
def test_a_shipped_config_is_found_from_anywhere(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Path(find_config(name)).samefile(ROOT / 'configs' / SEARCH)


def test_a_file_comes_before_a_shipped_config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'nasiam').mkdir()
    (tmp_path / SEARCH).touch()
    assert find_config(SEARCH) == SEARCH


def test_a_name_that_is_none_is_told_its_nearest():
    with pytest.raises(FileNotFoundError, match=f'did you mean {SEARCH}') as caught:
        find_config(SEARCH.replace('simsiam', 'simsam'))
    assert '\n' not in str(caught.value)


def write(folder: Path, **files: str) -> str:
    for name, text in files.items():
        (folder / f'{name}.py').write_text(text, encoding='utf-8')
    return str(folder / f'{next(iter(files))}.py')


def test_paths_become_text_and_imports_are_no_settings(laid_out, tmp_path):
    path = write(
        tmp_path,
        a='from pathlib import Path\nimport os\nroot = Path("/x")\n'
        'parts = dict(files=[Path("a") / "b"], pair=(Path("c"), 1), number=2.5, none=None)\n',
    )
    cfg = load_config(path)
    assert cfg.to_dict() == dict(
        root='/x', parts=dict(files=['a/b'], pair=('c', 1), number=2.5, none=None)
    )
    assert Config.fromstring(cfg.pretty_text, '.py').to_dict() == cfg.to_dict()


@pytest.mark.parametrize(
    ('files', 'message'),
    [
        (dict(a="_base_ = './b.py'\n", b="_base_ = './a.py'\n"), 'its _base_ leads back to itself'),
        (dict(a="_base_ = './a.py'\n"), 'its _base_ leads back to itself'),
        (dict(a="_base_ = './none.py'\n"), 'none.py'),
        (dict(a='x = (\n'), 'line 1: '),
        (dict(a='x = [][1]\n'), 'IndexError: list index out of range'),
        (dict(a='x = y\n'), "name 'y' is not defined"),
        (dict(a='import io\nm = dict(n=[1, io.StringIO()])\n'), 'm.n.1 is a StringIO'),
        (dict(a='m = dict(f=lambda x: x)\n'), 'm.f is a function'),
        (dict(a=f'x = {"[" * 90}{"]" * 90}\n'), 'is nested too deeply to be written again'),
        (dict(a='x = 1 / 0\n'), 'ZeroDivisionError: division by zero'),
        (dict(a='x = [][1]\n'), 'IndexError: list index out of range'),
        (dict(a='import sys\nsys.exit(3)\n'), 'SystemExit: 3'),
        (dict(a='def f(): f()\nf()\n'), 'nests too deep'),
        (dict(a='_base_ = 3\n'), "TypeError: argument of type 'int' is not iterable"),
    ],
)  # fmt: skip
def test_what_is_no_config_is_one_line(tmp_path, files, message):
    with pytest.raises((ValueError, OSError)) as caught:
        load_config(write(tmp_path, **files))
    assert message in str(caught.value)
    assert '\n' not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize('config', sorted((ROOT / 'configs/nasiam').glob('*.py'))[::7])
def test_shipped_configs_are_read_unchanged(config):
    assert load_config(str(config)).to_dict() == Config.fromfile(config).to_dict()


@pytest.mark.parametrize('key', ['dict(a=1)', 'a b', '', 'class', '1'])
def test_a_name_that_no_setting_can_have_is_refused(key):
    cfg = Config(dict(model=dict()))
    with pytest.raises(ValueError, match='is no name that a setting can have'):
        merge_options(cfg, Namespace(cfg_options={key: 1}))
