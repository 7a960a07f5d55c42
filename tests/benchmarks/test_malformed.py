# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Malformed input ends every command in one line; what would not is found."""

import json
from argparse import ArgumentParser
from random import Random

import pytest

from benchmarks import ROOT, malformed, mutants, originals
from nasiam_mm.cli import main

# Kinds whose commands build a model or lay out a config.
SLOWER = ('config', 'option', 'coco', 'voc', 'checkpoint', 'run', 'alone')


def run(folder, *argv):
    parser = ArgumentParser()
    malformed.add_arguments(parser)
    words = [*map(str, argv), '--work-dir', str(folder), '--processes', '0']
    with pytest.raises(SystemExit) as end:
        malformed.run(parser.parse_args(words))
    return end.value.code


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """The originals, which are trained for two iterations, are made once."""
    return tmp_path_factory.mktemp('malformed')


@pytest.mark.parametrize('kind', malformed.KINDS)
def test_a_small_round(kind, folder, capsys):
    count = {'checkpoint': 4}.get(kind, 8 if kind in SLOWER else 12)
    status = run(folder, '--kind', kind, '--count', count, '--seed', 5)
    told = capsys.readouterr().out
    summary = json.loads(told.splitlines()[-1])
    assert (status, summary['failures']) == (0, []), told
    assert sum(summary['kinds'][kind].values()) == count
    assert summary['kinds'][kind]['refused'] > 0
    assert [path.name for path in folder.iterdir() if path.is_dir()] == ['originals']


@pytest.mark.parametrize('kind', ['coco', 'voc'])
def test_the_original_sets_are_taken(kind, folder, capsys):
    of = originals.make(folder / 'originals', ROOT)
    config, data = getattr(of, f'{kind}_config'), getattr(of, f'{kind}_set')
    words = ['detect', config, '--random-init', '--dry-run', '--data-root', data]
    # What is refused of a mutant is then the mutation.
    main.dispatch([*map(str, words), '--work-dir', str(folder / 'none')])
    assert 'error' not in capsys.readouterr().err


def printing(text):
    return lambda argv: print(text) or exit(2)


def refusing(text):
    def dispatch(argv):
        raise PermissionError(text)

    return dispatch


def writing(name):
    def dispatch(argv):
        with open(name, 'w') as file:
            file.write('half')
        raise PermissionError('no')

    return dispatch


def growing(argv):
    bytearray(400 * 2**20)


def running(argv):
    import os

    os.remove('canary')


def waiting(argv):
    import time

    time.sleep(60)


@pytest.mark.parametrize(
    ('dispatch', 'problem'),
    [
        (lambda argv: [][1], 'traceback: IndexError at'),
        (lambda argv: exit(1), 'status 1'),
        (printing('two\nlines'), 'not one line'),
        (refusing('x' * 9000), ''),  # which run_tool cuts
        (writing('out.pth'), 'refused, yet wrote out.pth'),
        (writing('work/.a.tmp'), 'left work/.a.tmp'),
        (growing, 'memory grew by 4'),
        (running, 'code of the input was run'),
        (waiting, 'took over 0.1 s'),
    ],
)
def test_each_fault_is_found(dispatch, problem, tmp_path, monkeypatch):
    monkeypatch.setattr(main, 'dispatch', dispatch)
    monkeypatch.setattr(malformed, '_SECONDS', 0.1 if dispatch is waiting else 10)
    (tmp_path / 'work').mkdir()
    outcome = malformed.in_here(mutants._case(tmp_path, 0, 'export'), tmp_path)
    assert outcome.problem.startswith(problem) and bool(outcome.problem) == bool(problem)


def test_a_mutant_is_a_function_of_its_number():
    tree = {'a': [1, {'b': 'x'}], 'c': 2.5}
    made = [mutants.mutant(tree, Random(f'json 0 {n}')) for n in (1, 1, 2)]
    assert made[0] == made[1] != made[2]
    assert tree == {'a': [1, {'b': 'x'}], 'c': 2.5}
