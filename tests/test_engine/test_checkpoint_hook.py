# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims: a checkpoint is whole or absent, and one is there at every moment (C6, C8)."""

import errno
import os

import pytest
import torch
from mmengine.runner import Runner

from nasiam_mm.engine.hooks.checkpoint_hook import AtomicLocalBackend
from tests.reduced import light, reduced


def full_disk(*args):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize('where', ['fsync', 'replace'])
def test_full_disk_leaves_the_old_file_and_no_other(where, tmp_path, monkeypatch):
    target = tmp_path / 'epoch_1.pth'
    backend = AtomicLocalBackend()
    backend.put(b'old', target)
    monkeypatch.setattr(os, where, full_disk)
    with pytest.raises(OSError, match=r"cannot write '.*epoch_1.pth': No space left") as caught:
        backend.put(b'new', target)
    assert '\n' not in str(caught.value)
    assert target.read_bytes() == b'old'
    assert os.listdir(tmp_path) == ['epoch_1.pth']


def test_full_disk_in_a_run_keeps_the_last_whole_checkpoint(tmp_path, monkeypatch):
    cfg = light(reduced('nasiam/simclr_r18_search_cifar10', tmp_path, epochs=2))
    cfg.default_hooks.checkpoint.max_keep_ckpts = 1
    runner = Runner.from_cfg(cfg)
    put = AtomicLocalBackend.put

    def second_fails(self, obj, path):
        if str(path).endswith('epoch_2.pth'):
            monkeypatch.setattr(os, 'fsync', full_disk)
        put(self, obj, path)

    monkeypatch.setattr(AtomicLocalBackend, 'put', second_fails)
    with pytest.raises(OSError, match='No space left on device; free space or choose another'):
        runner.train()
    assert [f.name for f in tmp_path.glob('*.pth')] == ['epoch_1.pth']
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / 'epoch_1.pth')
    checkpoint = torch.load(tmp_path / 'epoch_1.pth', weights_only=False)
    assert checkpoint['hooks']['AlphaStepHook']['steps'] == checkpoint['meta']['iter']
    assert not [f for f in os.listdir(tmp_path) if f.startswith('.')]


def test_oldest_goes_only_after_the_newest_is_there(tmp_path, monkeypatch):
    cfg = light(reduced('nasiam/simclr_r18_search_cifar10', tmp_path, epochs=3))
    cfg.default_hooks.checkpoint.max_keep_ckpts = 1
    seen = []
    remove = AtomicLocalBackend.remove

    def watch(self, path):
        seen.append(sorted(f.name for f in tmp_path.glob('*.pth')))
        remove(self, path)

    monkeypatch.setattr(AtomicLocalBackend, 'remove', watch)
    Runner.from_cfg(cfg).train()
    assert seen == [['epoch_1.pth', 'epoch_2.pth'], ['epoch_2.pth', 'epoch_3.pth']]
    assert [f.name for f in tmp_path.glob('*.pth')] == ['epoch_3.pth']
