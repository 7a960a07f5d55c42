# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Settings that the pages show are read: recipes in Python, and options of a command line."""

import re

import pytest
from mmengine.config import Config

import nasiam_mm.engine  # noqa: F401
from nasiam_mm.unread import find_unread
from tests.reduced import ROOT

PAGES = sorted([ROOT / 'README.md', *(ROOT / 'docs').rglob('*.md'), *ROOT.glob('genotypes/*.md')])
OPTIONS = re.compile(r'--cfg-options((?:[\s\\]+[\w.]+=[^\s`]+)+)')
SHOWN = [
    (page.relative_to(ROOT), option)
    for page in PAGES
    for options in OPTIONS.findall(page.read_text(encoding='utf-8'))
    for option in options.replace('\\', ' ').split()
]


@pytest.mark.parametrize(('page', 'option'), SHOWN, ids=str)
def test_an_option_that_a_page_shows_is_read(page, option):
    key, value = option.split('=')
    # A second schedule has the recipe of a transformer alone.
    recipe = 'mocov3_vit-tiny' if key.startswith('param_scheduler.1') else 'simsiam_r18'
    cfg = Config.fromfile(ROOT / f'configs/nasiam/{recipe}_search_cifar10.py')
    cfg.default_hooks.compile = dict(type='CompileHook')  # as by --compile
    cfg.merge_from_dict({key: value})
    assert find_unread(cfg) == []


def test_options_are_shown_and_a_wrong_one_is_found():
    assert len(SHOWN) >= 8
    assert OPTIONS.findall('x --cfg-options a.b=1 \\\n    c=2`.') == [' a.b=1 \\\n    c=2']


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.stem)
def test_a_recipe_that_a_page_shows_sets_what_is_read(page, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT)  # for the modules of examples/
    for block in re.findall(r'```python.*\n(.*?)```', page.read_text(encoding='utf-8'), re.S):
        if '_base_ = ' in block:
            (tmp_path / 'shown.py').write_text(block.replace("'../configs", f"'{ROOT}/configs"))
            assert find_unread(Config.fromfile(tmp_path / 'shown.py')) == []
