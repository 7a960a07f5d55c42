# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""No command writes over what it reads, by whatever path; refused in one line."""

import os
import runpy

import pytest

from nasiam_mm.cli.main import dispatch
from tests.reduced import ROOT

SEARCH = 'nasiam/simclr_r18_search_cifar10_demo.py'
COMMANDS = {
    'export': ['export', '{given}', '{out}'],
    'test': ['test', SEARCH, '{given}', '--out', '{out}'],
    'probe': ['probe', SEARCH, '{given}', '--out', '{out}'],
    'probe features': ['probe', SEARCH, '{given}', '--save-features', '{out}'],
    'embed': ['embedding_map.py', SEARCH, '{given}', '--out', '{out}'],
    'neighbours': ['nearest_neighbours.py', SEARCH, '{given}', '--out', '{out}'],
    'draw': ['draw', '{given}', '--out', '{out}'],
    'draw alpha': ['draw', '--kind', 'alpha', '{given}', '--out', '{out}'],
    'random': ['genotype', 'random', '{given}', '--out', '{out}'],
    'import': ['genotype', 'import', '{given}', '--framework', 'MoCo', '--out', '{out}'],
    'detect': ['detect', 'detection/mask-rcnn_r18-fpn_cifar10det_demo.py', '{given}',
               '--work-dir', '{folder}'],
}  # fmt: skip


@pytest.fixture
def given(tmp_path):
    """A file that any command may take for its input: it is refused before it is read."""
    import torch

    path = tmp_path / 'work' / 'backbone.pth'
    path.parent.mkdir()
    torch.save({}, path)
    return path


def link(given, how):
    if how == 'same':
        return given
    if how == 'other path':
        return given.parent / '..' / given.parent.name / given.name
    other = given.with_name(f'{how}.pth')
    (os.link if how == 'hard' else os.symlink)(given, other)
    return other


@pytest.mark.parametrize('how', ['same', 'other path', 'hard', 'symbolic'])
@pytest.mark.parametrize('command', COMMANDS)
def test_an_output_that_is_an_input_is_refused(command, how, given, tmp_path, monkeypatch):
    # Configs are found in this checkout whatever the folder.
    monkeypatch.chdir(tmp_path)
    other = link(given, how)
    # detect writes work_dir/backbone.pth: its input is the other name.
    source, out = (other, given) if command == 'detect' else (given, other)
    before = given.read_bytes()
    words = [word.format(given=source, out=out, folder=given.parent) for word in COMMANDS[command]]
    main = dispatch
    if words[0].endswith('.py'):
        script = ROOT / 'tools/analysis_tools' / words.pop(0)
        main = runpy.run_path(str(script), run_name='tool')['main']
    with pytest.raises(ValueError, match='is to be written and is what is read as') as caught:
        main(words)
    assert '\n' not in str(caught.value)
    assert given.read_bytes() == before


def test_a_config_is_not_written_over_either(given, tmp_path):
    config = tmp_path / 'mine.py'
    config.write_text('model = dict()\n')
    with pytest.raises(ValueError, match='is what is read as config'):
        dispatch(['test', str(config), str(given), '--out', str(config)])


def test_the_copy_of_a_run_does_not_take_the_place_of_its_config(tmp_path):
    base = tmp_path / 'base.py'
    base.write_text('model = dict()\n')
    config = tmp_path / 'mine.py'
    config.write_text("# what I tried\n_base_ = './base.py'\n")
    with pytest.raises(ValueError, match='give a --work-dir other than its folder'):
        dispatch(['train', str(config), '--work-dir', str(tmp_path)])
    assert config.read_text().startswith('# what I tried')


def test_the_copy_that_a_run_left_may_be_trained_on(tmp_path):
    from mmengine.config import Config

    config = tmp_path / 'mine.py'
    Config(dict(answer=42)).dump(config)
    with pytest.raises(ValueError, match='has no model'):
        dispatch(['train', str(config), '--work-dir', str(tmp_path)])
