# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Real file systems that are full, small or read-only: one line, nothing half-written (C6, C8)."""

import logging
import os
import resource
import subprocess
from contextlib import contextmanager

import pytest
import torch
from mmengine.config import Config
from torch import nn

from nasiam_mm.checks.before_training import _disk
from nasiam_mm.cli.ending import run_tool
from nasiam_mm.engine.hooks.checkpoint_hook import AtomicLocalBackend
from nasiam_mm.export.backbone import _save
from nasiam_mm.files.atomic import atomic_path


@contextmanager
def mounted(folder):
    """Mount a file system of 256 kB for the block, by root where that is allowed."""
    mount = ['mount', '-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip('there is no command mount')
    if done.returncode:
        pytest.skip(f'mounting is not allowed here: {done.stderr.strip()}')
    try:
        yield
    finally:
        subprocess.run(['umount', str(folder)], check=True)


@contextmanager
def largest_file(size):
    """Let no file grow beyond a size."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def save_weights(path):
    with atomic_path(path) as temporary:
        _save(nn.Linear(400, 400).state_dict(), temporary)  # 640 kB


def put_bytes(path):
    AtomicLocalBackend().put(bytes(640_000), path)


@pytest.mark.parametrize('write', [save_weights, put_bytes])
def test_a_file_that_does_not_fit_is_one_line_and_the_old_one_stays(write, tmp_path):
    path = tmp_path / 'epoch_1.pth'
    path.write_bytes(b'old')
    with largest_file(200_000), pytest.raises(OSError, match=rf"cannot write '{path}': File too"):
        write(path)
    assert (os.listdir(tmp_path), path.read_bytes()) == (['epoch_1.pth'], b'old')
    with mounted(tmp_path):
        path.write_bytes(b'old')
        with pytest.raises(OSError, match=rf"cannot write '{path}': No space left") as caught:
            write(path)
        assert '\n' not in str(caught.value)
        assert (os.listdir(tmp_path), path.read_bytes()) == (['epoch_1.pth'], b'old')


@pytest.mark.parametrize('write', [save_weights, put_bytes])
def test_a_read_only_file_system_is_one_line(write, tmp_path):
    with mounted(tmp_path):
        subprocess.run(['mount', '-o', 'remount,ro', str(tmp_path)], check=True)
        with pytest.raises(OSError, match='Read-only file system; free space or choose another'):
            write(tmp_path / 'b.pth')
        [line] = _disk(Config(dict(work_dir=str(tmp_path / 'new'))), 1)
        told = f"work directory '{tmp_path}' cannot be written to; take another --work-dir"
        assert line == told


def test_a_full_disk_takes_no_line_of_the_log_and_says_so_once(capsys):
    logger = logging.Logger('full')
    logger.addHandler(logging.FileHandler('/dev/full'))

    def main():
        for number in range(9):
            logger.info('iteration %d', number)
        with open('/dev/full', 'w') as scalars:
            scalars.write('{}')

    raises = logging.raiseExceptions
    try:
        with pytest.raises(SystemExit, match='2'):
            run_tool(main)
    finally:
        logging.raiseExceptions = raises
        handler = logger.handlers[0]
        handler.stream = None  # what it holds could not be flushed
    [line] = capsys.readouterr().err.splitlines()
    assert line == (
        'error: No space left on device; free space, then go on, a training by --resume'
    )


def test_weights_read_back_as_they_were(tmp_path):
    weights = nn.Linear(3, 2).state_dict()
    _save(weights, tmp_path / 'w.pth')
    assert all(torch.equal(weights[n], w) for n, w in torch.load(tmp_path / 'w.pth').items())
