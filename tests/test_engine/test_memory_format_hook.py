# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims: weights follow the layout of the images, and no bit of a run changes."""

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from mmengine.runner import Runner

from tests.reduced import reduced


class StopAfter(Hook):
    """Ends the run after three iterations."""

    priority = 'LOWEST'

    class Done(Exception):
        """Three iterations are made."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter == 2:
            raise self.Done


def weights_after_three(work_dir, monkeypatch, channels_last=True, with_hook=True):
    monkeypatch.setattr(Config, 'pretty_text', '')
    MessageHub._instance_dict.clear()
    cfg = reduced('nasiam/mocov2_r18_search_cifar10', work_dir, batch_size=16)
    cfg.probe = None
    for name in ('genotype', 'health', 'collapse'):
        cfg.default_hooks.pop(name)
    cfg.model.data_preprocessor.channels_last = channels_last
    if not with_hook:
        del cfg.default_hooks['memory_format']
    runner = Runner.from_cfg(cfg)
    runner.register_hook(StopAfter())
    with pytest.raises(StopAfter.Done):
        runner.train()
    return runner.model.state_dict()


def layouts(state):
    kernels = [w for w in state.values() if w.ndim == 4 and w.shape[1] > 1 and w.shape[2] > 1]
    assert len(kernels) > 20
    return {w.is_contiguous(memory_format=torch.channels_last) for w in kernels}


def test_weights_are_laid_out_as_the_images_and_no_bit_changes(tmp_path, monkeypatch):
    laid_out = weights_after_three(tmp_path / 'a', monkeypatch)
    left = weights_after_three(tmp_path / 'b', monkeypatch, with_hook=False)
    assert layouts(laid_out) == {True}
    assert layouts(left) == {False}
    assert laid_out.keys() == left.keys()
    for name, value in laid_out.items():
        assert torch.equal(value, left[name]), name


def test_weights_stay_where_images_are_nchw(tmp_path, monkeypatch):
    assert layouts(weights_after_three(tmp_path, monkeypatch, channels_last=False)) == {False}
