# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Every command that a page shows is taken by its parser, and names configs that exist."""

import argparse
import importlib
import re
import runpy
import sys

import pytest

from nasiam_mm.cli.main import Parser, dispatch
from nasiam_mm.cli.reading import find_config
from tests.reduced import ROOT
from tests.test_docs.shown import PAGES, blocks, commands, name_of

SHOWN = list(
    {
        (name_of(page), ' '.join(words)): (name_of(page), words)
        for page in PAGES
        for language, _, code in blocks(page)
        if language in ('bash', 'sh')
        for words in commands(code)
    }.values()
)
# In the folder that `offline pack` fills, the script is beside the archive.
MOVED = {'pack/set_up.py': 'benchmarks/offline/set_up.py'}
PYTHON = ('python', 'python3', '../venv/bin/python')
NOT_OURS = ('cd', 'source', 'optuna-dashboard', 'tensorboard')
# CONFIG, work_dirs/<pretraining>; `benchmarks.robustness table` kills a table, not a config.
PLACEHOLDER = re.compile(r'[A-Z_]+|.*<.*|table')


class Parsed(Exception):
    """The command line was taken."""


@pytest.fixture(autouse=True)
def parse_only(monkeypatch):
    """Let a command end once its words are parsed."""
    for name in ('parse_args', 'parse_intermixed_args'):
        parse = getattr(argparse.ArgumentParser, name)

        def parse_only(self, *args, parse=parse, **kwargs):
            raise Parsed(parse(self, *args, **kwargs))

        monkeypatch.setattr(argparse.ArgumentParser, name, parse_only)
    monkeypatch.chdir(ROOT)


def parsed(words):
    """Return what the parser of a command makes of its words."""
    with pytest.raises(Parsed) as caught:
        if words[0] == 'nasiam':
            dispatch(words[1:])
        elif words[1] == '-m':
            with_parser(vars(module_of(words[2])), words[3:])
        else:
            script = MOVED.get(words[1], words[1])
            with_parser(runpy.run_path(str(ROOT / script)), [*words[2:]])
    return caught.value.args[0]


def module_of(name):
    module = importlib.import_module(name)
    return importlib.import_module(f'{name}.__main__') if hasattr(module, '__path__') else module


def with_parser(names, words):
    """Parse the words as a script or module of these names does."""
    if 'add_arguments' in names:
        parser = Parser()
        names['add_arguments'](parser)
        parser.parse_args(words)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'argv', ['script', *words])
        names['main']()


def check(words):
    """Fail for a command that does not exist or does not take its words."""
    if words in (['nasiam', '--help'], ['nasiam', '--version']):
        return
    if words[0] in ('nasiam', *PYTHON):
        config = getattr(parsed(words), 'config', None)
        if config is not None and not PLACEHOLDER.fullmatch(str(config)):
            find_config(config)
    elif words[0] == 'bash':
        assert (ROOT / words[1]).is_file()
        for word in words[2:]:
            if word.endswith('.py'):
                find_config(word)
    elif words[0] == 'make':
        targets = re.findall(r'^([a-z-]+):', (ROOT / 'Makefile').read_text(), re.MULTILINE)
        assert set(words[1:]) <= set(targets)
    elif words[:2] == ['pip', 'install']:
        for extra in re.findall(r'nasiam_mm\[(\w+)\]', ' '.join(words)):
            assert (ROOT / f'requirements/{extra}.txt').is_file()
    else:
        assert words[0] in NOT_OURS, f'nothing checks {words[0]}'


@pytest.mark.parametrize(
    ('page', 'words'), SHOWN, ids=[f'{page}: {" ".join(words[:4])}' for page, words in SHOWN]
)
def test_a_command_that_a_page_shows_is_taken(page, words):
    check(words)


def test_commands_are_found_and_wrong_ones_are_refused():
    assert len(SHOWN) > 60
    assert list(commands('A=1 a b \\\n  c  # d\ne && f\n')) == [['a', 'b', 'c'], ['e'], ['f']]
    for line in (
        'nasiam search nasiam/simsiam_r18_search_cifar10.py --no-such',
        'nasiam serch nasiam/simsiam_r18_search_cifar10.py',
        'nasiam search nasiam/simsiam_r18_search_cifar11.py',
        'python tools/train.py configs/nasiam/simsiam.py',
        'python -m benchmarks.papers heads --scale huge',
        'bash tools/dist_train.sh configs/nothing.py 8',
        'make nothing',
        'frobnicate',
    ):
        with pytest.raises((AssertionError, SystemExit, ValueError, FileNotFoundError)):
            check(line.split())
