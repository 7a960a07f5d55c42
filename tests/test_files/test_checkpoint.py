# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Checkpoints are data: reading one runs nothing, and a damaged one is told.

1. A pickle that would run a command is refused in one line, by every way a checkpoint is read.
2. A file cut short or changed by a bit is refused as damaged.
"""

import os
import pickle
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader
from torch import nn

from benchmarks.compare import compare_checkpoints
from nasiam_mm.export import read_pretrained
from nasiam_mm.files.checkpoint import (
    DamagedCheckpointError,
    UnsafeCheckpointError,
    read_checkpoint,
    weights_of,
)
from tests.checkpoints import Payload, change_a_weight, save, training_state
from tests.test_engine.toy_siamese import build_runner


def test_what_mmengine_saves_is_read(tmp_path):
    values = dict(
        buffer=HistoryBuffer([1.5, 2.5], [1, 2]), empty=HistoryBuffer(), number=np.float64(0.1),
        arrays=[np.arange(3), np.array([True]), np.zeros((0, 2), np.float32)],
        half=torch.ones(2, dtype=torch.bfloat16), plain=[None, True, (1, 'a')],
    )  # fmt: skip
    torch.save(values, tmp_path / 'a.pth')
    read = read_checkpoint(tmp_path / 'a.pth')
    assert read['buffer'].mean(2) == HistoryBuffer([1.5, 2.5], [1, 2]).mean(2)
    assert read['number'] == 0.1 and read['plain'] == values['plain']
    torch.save(read, tmp_path / 'b.pth')
    assert compare_checkpoints(tmp_path / 'a.pth', tmp_path / 'b.pth') == []


@pytest.fixture
def victim(tmp_path, monkeypatch):
    """A file that stands there as long as no payload has run."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / 'still_here'
    file.touch()
    yield file
    assert file.exists()


@pytest.mark.parametrize('as_archive', [True, False])
@pytest.mark.parametrize(
    ('function', 'args', 'named'),
    [
        (os.remove, ['still_here'], r'(posix|nt)\.remove'),
        (eval, ["__import__('os').remove('still_here')"], 'eval'),
        (getattr, [os.PathLike, 'register'], 'os.PathLike'),
        (getattr, [HistoryBuffer, '__setstate__'], 'getattr'),
        (HistoryBuffer.min, [HistoryBuffer()], 'HistoryBuffer.min'),
    ],
)
def test_a_payload_is_refused_and_does_not_run(victim, tmp_path, as_archive, function, args, named):
    path = tmp_path / 'evil.pth'
    content = training_state(3, hidden=Payload(function, *args))
    torch.save(content, path, _use_new_zipfile_serialization=as_archive)
    with pytest.raises(UnsafeCheckpointError, match=f'refused: it holds .*{named}') as caught:
        read_checkpoint(path)
    assert '\n' not in str(caught.value)


def test_a_bare_pickle_is_refused_and_does_not_run(victim, tmp_path):
    (tmp_path / 'evil.pth').write_bytes(pickle.dumps(Payload(os.remove, 'still_here')))
    with pytest.raises(ValueError, match='evil.pth'):
        read_checkpoint(tmp_path / 'evil.pth')


@pytest.fixture
def served(tmp_path):
    """Address of a server of tmp_path on this machine."""
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path)
    handler.log_message = lambda *args: None
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f'http://127.0.0.1:{server.server_port}'
        server.shutdown()


def test_every_way_of_reading_is_guarded(victim, tmp_path, served, monkeypatch):
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))
    path = str(tmp_path / 'evil.pth')
    torch.save(training_state(3, hidden=Payload(os.remove, 'still_here')), path)
    for address in (path, f'{served}/evil.pth?download=1'):
        with pytest.raises(UnsafeCheckpointError):
            CheckpointLoader.load_checkpoint(address)
    pretrained = nn.Linear(1, 1)
    from mmengine.model import initialize

    with pytest.raises(UnsafeCheckpointError):
        initialize(pretrained, dict(type='Pretrained', checkpoint=path))
    for changes in (dict(resume=True), dict(resume=False)):
        with pytest.raises(UnsafeCheckpointError):
            build_runner(tmp_path / 'run', [], 1, load_from=path, **changes).train()
    torch.save(training_state(3), tmp_path / 'good.pth')
    assert CheckpointLoader.load_checkpoint(f'{served}/good.pth')['meta']['iter'] == 3


def test_every_cut_and_a_single_bit_are_told(tmp_path):
    path = save(tmp_path, 'a.pth', 1)
    whole = path.read_bytes()
    for size in range(0, len(whole), 97):
        path.write_bytes(whole[:size])
        with pytest.raises(DamagedCheckpointError, match="a.pth' is cut short or damaged"):
            read_checkpoint(path)
    path.write_bytes(whole)
    change_a_weight(path)
    with pytest.raises(DamagedCheckpointError):
        read_checkpoint(path)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="checkpoint '.*none.pth' does not exist"):
        read_checkpoint(tmp_path / 'none.pth')


@pytest.mark.parametrize(
    'wrapped', ['module.', 'module._orig_mod.', '_orig_mod.', '_orig_mod.module.', '']
)
def test_marks_of_wrappers_are_taken_off_by_every_reader(tmp_path, wrapped):
    model = nn.ModuleDict({'backbone': nn.BatchNorm1d(3), 'neck': nn.Linear(3, 2)})
    state = model.state_dict()
    names = list(state)
    for name in names:
        state[wrapped + name] = state.pop(name)
    torch.save({'state_dict': state}, tmp_path / 'a.pth')
    theirs = CheckpointLoader.load_checkpoint(str(tmp_path / 'a.pth'))['state_dict']
    ours = weights_of(read_checkpoint(tmp_path / 'a.pth'), 'a.pth')
    assert list(theirs) == list(ours) == names and theirs._metadata == state._metadata


@pytest.mark.parametrize('content', [[1, 2], torch.zeros(3), 5, {'state_dict': [1]}, {3: 4}])
def test_what_holds_no_weights_by_name_is_refused_by_every_reader(tmp_path, content):
    path = tmp_path / 'a.pth'
    torch.save(content, path)
    for read in (CheckpointLoader.load_checkpoint, read_pretrained):
        with pytest.raises(ValueError, match="checkpoint '.*a.pth' holds no weights by name"):
            read(str(path))
