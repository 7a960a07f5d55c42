# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A wrong input ends a tool in one line and status 2; a defect keeps its traceback."""

import os
import signal
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from torch.utils.data import DataLoader, Dataset

from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.cli.ending import run_tool
from nasiam_mm.datasets.folder import read_image
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
        (raise_from('torch.serialization', OSError(28, 'No space left')), 'error: No space left'),
        (
            raise_from('mmengine.utils.path', OSError(30, os.strerror(30), '/ro/run')),
            "error: '/ro/run': Read-only file system; choose another place",
        ),
        (
            raise_from('pathlib', FileExistsError(17, os.strerror(17), 'a.png')),
            "error: 'a.png': File exists; choose another place",
        ),
        (raise_from('nasiam_mm.files', OSError(2, 'cannot write x; mend')), 'error: cannot write'),
        (
            raise_from('json', PermissionError(13, os.strerror(13), '/theirs')),
            "'/theirs': Permission denied; choose another place, or give yourself the permission",
        ),
    ],
)
def test_a_wrong_input_is_one_line(main, message, capsys):
    status, lines = end_of(main, capsys)
    assert status == 2
    assert len(lines) == 1
    assert lines[0].startswith('error: ')
    assert message in lines[0]
    assert len(lines[0]) <= 500 and lines[0].isprintable()


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


class Broken(Dataset):
    """Two images that are not there."""

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return read_image('/no/image.png')


@pytest.mark.parametrize('workers', [0, 2])
def test_an_error_of_a_worker_is_the_line_it_would_be_alone(workers, tmp_path, capsys):
    path = tmp_path / 'cut.png'
    path.write_text('no image')

    class Images(Broken):
        def __getitem__(self, index):
            return read_image(path)

    status, lines = end_of(lambda: list(DataLoader(Images(), num_workers=workers)), capsys)
    assert (status, lines) == (
        2,
        [f'error: {path}: no image that OpenCV reads; replace or remove it'],
    )
    status, lines = end_of(lambda: list(DataLoader(Broken(), num_workers=workers)), capsys)
    assert (status, len(lines)) == (2, 1)
    assert lines[0].endswith("No such file or directory: '/no/image.png'") and len(lines[0]) < 90


def test_a_defect_in_a_worker_keeps_its_traceback():
    class Defect(Broken):
        def __getitem__(self, index):
            return torch.ones(2, 3) @ torch.ones(2, 3)

    with pytest.raises(RuntimeError, match='Original Traceback'):
        run_tool(lambda: list(DataLoader(Defect(), num_workers=1)))


def test_a_worker_that_was_killed_is_one_line(capsys):
    class Killed(Broken):
        def __getitem__(self, index):
            os.kill(os.getpid(), signal.SIGKILL)

    status, lines = end_of(lambda: list(DataLoader(Killed(), num_workers=1)), capsys)
    assert status == 2 and lines[-1].startswith('error: DataLoader worker (pid')
    assert lines[-1].endswith('lower num_workers or batch_size, or give them more memory')


@pytest.mark.parametrize(
    ('rank', 'main', 'waits', 'told'),
    [
        ('0', lambda: load_genotype('none.json'), False, "error: genotype 'none.json' does not"),
        ('1', lambda: load_genotype('none.json'), True, "error: genotype 'none.json' does not"),
        (
            '0',
            raise_from(
                'torch.distributed', RuntimeError('[gloo/x.cc:1] Connection closed by peer')
            ),
            True,
            'error: another process of this run has ended',
        ),
    ],
)
def test_of_several_processes_the_first_tells(rank, main, waits, told, capsys, monkeypatch):
    waited = []
    monkeypatch.setattr('time.sleep', waited.append)
    monkeypatch.setenv('RANK', rank)
    monkeypatch.setenv('WORLD_SIZE', '2')
    _, [line] = end_of(main, capsys)
    assert line.startswith(told) and bool(waited) == waits


def test_an_interruption_is_no_error(capsys):
    def main() -> None:
        raise KeyboardInterrupt

    assert end_of(main, capsys) == (130, ['interrupted'])


def test_success_does_not_leave_the_process():
    done = []
    run_tool(lambda: done.append(1))
    assert done == [1]
