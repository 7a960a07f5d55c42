# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A wrong input ends a tool in one line and status 2; a defect keeps its traceback."""

import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.cli.ending import run_tool
from nasiam_mm.registry import MODELS, OPTIMIZERS


def end_of(main, capsys) -> tuple[int, list[str]]:
    """Run a tool that must fail; return its status and what it wrote to stderr."""
    with pytest.raises(SystemExit) as caught:
        run_tool(main)
    return caught.value.code, capsys.readouterr().err.splitlines()


def raise_from(module: str, error: Exception):
    """Return a function that raises the error from a module of that name."""
    scope = {'__name__': module, 'error': error}
    exec('def main():\n    raise error\n', scope)
    return scope['main']


@pytest.mark.parametrize(
    ('main', 'message'),
    [
        (lambda: load_genotype('none.json'), "genotype 'none.json' does not exist"),
        (lambda: Path('/nowhere/file').read_text(), "No such file or directory: '/nowhere/file'"),
        (lambda: Config.fromfile('/nowhere/config.py'), '/nowhere/config.py'),
        (lambda: MODELS.build(dict(type='SimCLRR')), 'SimCLRR is not in the nasiam_mm::model'),
        (
            lambda: MODELS.build(dict(type='NonLinearNeck', widht=4)),
            'NonLinearNeck cannot be built from the config: NonLinearNeck.__init__() got an '
            "unexpected keyword argument 'widht'",
        ),
        (
            lambda: OPTIMIZERS.build(dict(type='SGD', params=[torch.ones(1)], lr='fast')),
            'SGD cannot be built from the config: ',
        ),
        (
            lambda: MODELS.build(dict(type='ResNet_CIFAR', depth=19)),
            'ResNet_CIFAR cannot be built from the config: invalid depth 19 for resnet',
        ),
        (raise_from('nasiam_mm.space', KeyError('no op of\n  this name')), 'no op of this name'),
        (raise_from('mmengine.runner.runner', ValueError('no train_cfg')), 'no train_cfg'),
        (raise_from('torch.serialization', OSError(28, 'No space left')), 'No space left'),
    ],
)
def test_a_wrong_input_is_one_line(main, message, capsys):
    status, lines = end_of(main, capsys)
    assert status == 2
    assert len(lines) == 1
    assert lines[0].startswith('error: ')
    assert message in lines[0]


@pytest.mark.parametrize(
    'main',
    [
        raise_from('torch.nn.functional', RuntimeError('shapes cannot be multiplied')),
        raise_from('nasiam_mm.engine', KeyError('loss')),
        raise_from('nasiam_mm.engine', TypeError('unsupported operand types')),
        raise_from('nasiam_mm.engine', IndexError('list index out of range')),
        raise_from('__main__', AssertionError('two parts share an image')),
    ],
)
def test_a_defect_keeps_its_traceback(main):
    with pytest.raises(Exception) as caught:
        run_tool(main)
    assert not isinstance(caught.value, SystemExit)


@pytest.mark.parametrize('by_flag', [True, False])
def test_the_traceback_can_be_asked_for(by_flag, capsys, monkeypatch):
    if by_flag:
        monkeypatch.setattr(sys, 'argv', ['train.py', '--traceback'])
    else:
        monkeypatch.setenv('NASIAM_TRACEBACK', '1')
    status, lines = end_of(lambda: load_genotype('none.json'), capsys)
    assert status == 2
    assert lines[0] == 'Traceback (most recent call last):'
    assert lines[-1].startswith("error: genotype 'none.json'")


def test_an_interruption_is_no_error(capsys):
    def main() -> None:
        raise KeyboardInterrupt

    assert end_of(main, capsys) == (130, ['interrupted'])


def test_success_does_not_leave_the_process():
    done = []
    run_tool(lambda: done.append(1))
    assert done == [1]
