# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What is installed is what is in the repository: commands, configs and tools, from any folder."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.config import Config

ROOT = Path(__file__).parents[1]
SOURCES = (
    'setup.py', 'pyproject.toml', 'README.md', 'LICENSE', 'MANIFEST.in', 'model-index.yml',
    'requirements', 'configs', 'tools', 'nasiam_mm',
)  # fmt: skip
SEARCH = 'nasiam/simsiam_r18_search_cifar10.py'

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    """A folder, with a blank in its path, into which the wheel is installed."""
    folder = tmp_path_factory.mktemp('a folder')
    source = folder / 'source'
    source.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns('__pycache__', '.mim')
            shutil.copytree(ROOT / name, source / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, source / name)
    pip = [sys.executable, '-m', 'pip', '--disable-pip-version-check']
    options = ['--no-deps', '--no-build-isolation', '--no-index']
    subprocess.run([*pip, 'wheel', *options, '-w', folder, source], check=True)
    (wheel,) = folder.glob('nasiam_mm-*.whl')
    site = folder / 'site packages'
    subprocess.run([*pip, 'install', *options[:1], '--target', site, wheel], check=True)
    # Nothing of the build may be needed.
    shutil.rmtree(source)
    return site


def run(site: Path, folder: Path, *command: object) -> str:
    environment = {**os.environ, 'PYTHONPATH': str(site)}
    done = subprocess.run(
        list(map(str, command)), cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_every_config_and_tool(site):
    for kind, suffixes in (('configs', ('.py', '.yml')), ('tools', ('.py', '.sh'))):
        shipped = {
            path.relative_to(ROOT) for path in (ROOT / kind).rglob('*') if path.suffix in suffixes
        }
        for path in shipped:
            assert (site / 'nasiam_mm/.mim' / path).read_bytes() == (ROOT / path).read_bytes()
    assert not (site / 'tests').exists() and not (site / 'benchmarks').exists()


def test_a_shipped_config_is_found_from_any_folder(site, tmp_path):
    text = run(site, tmp_path, site / 'bin/nasiam', 'config', SEARCH)
    printed = Config.fromstring(text, '.py')
    assert printed.model == Config.fromfile(ROOT / 'configs' / SEARCH).model


ASK = """
import contextlib, io, json, os, sys
import nasiam_mm.registry
from nasiam_mm.cli.main import dispatch

def printed(folder, config):
    os.chdir(folder)
    with contextlib.redirect_stdout(io.StringIO()) as out:
        dispatch(['config', config])
    return out.getvalue()

told = [printed(folder, config) for folder, config in json.loads(sys.argv[1])]
from mmengine.config import Config
from mmengine.hub import get_config

cfg = get_config(f'nasiam_mm::{sys.argv[2]}')
assert Config.fromfile('child.py').model.type == cfg.model.type
json.dump([*told, cfg.filename], sys.stdout)
"""


@pytest.fixture(scope='module')
def told(site, tmp_path_factory):
    """What is printed of configs named in several ways, and where mmengine finds one."""
    elsewhere, own = (tmp_path_factory.mktemp(name) for name in ('elsewhere', 'own'))
    (own / 'nasiam').mkdir()
    (own / SEARCH).write_text('mine = 1\n')
    (elsewhere / 'child.py').write_text(f"_base_ = 'nasiam_mm::{SEARCH}'\nmore = 1\n")
    asked = [(own, SEARCH), (elsewhere, f'configs/{SEARCH}'), (elsewhere, 'child.py')]
    words = json.dumps([(str(folder), name) for folder, name in asked])
    # One process: the imports take seconds.
    out = run(site, elsewhere, sys.executable, '-c', ASK, words, SEARCH)
    return json.loads(out.splitlines()[-1])


def test_the_folder_of_the_configs_may_be_named(told):
    printed = Config.fromstring(told[1], '.py')
    assert printed.model == Config.fromfile(ROOT / 'configs' / SEARCH).model


def test_a_config_of_the_folder_comes_first(told):
    assert 'mine = 1' in told[0]


def test_mmengine_finds_the_configs_by_the_name_of_the_package(site, told):
    assert Path(told[3]) == site / 'nasiam_mm/.mim/configs' / SEARCH
    assert 'more = 1' in told[2]
