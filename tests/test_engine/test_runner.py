# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The runner: what it sets up, lays out and logs; states that do not fit are refused."""

import numpy as np
import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.runner import Runner

from nasiam_mm.engine.runner import NasiamRunner
from nasiam_mm.registry import MODELS
from tests.reduced import reduced


@pytest.mark.parametrize('error', [AttributeError("'str' has no 'items'"), ZeroDivisionError('0')])
def test_a_state_that_cannot_be_taken_over_is_refused(error, monkeypatch):
    def resume(self, filename, *args, **kwargs):
        raise error

    monkeypatch.setattr(Runner, 'resume', resume)
    runner = NasiamRunner.__new__(NasiamRunner)
    told = rf"checkpoint 'a.pth' holds a state that does not fit this run: {type(error).__name__}: "
    with pytest.raises(ValueError, match=told):
        runner.resume('a.pth')


@pytest.fixture
def precision():
    """Put back how exact float32 products are."""
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize(('asked', 'found'), [({}, 'highest'), ('high', 'high')])
def test_the_config_decides_how_exact_float32_products_are(asked, found, tmp_path, precision):
    torch.set_float32_matmul_precision('medium')
    cfg = reduced('nasiam/simclr_r18_baseline_cifar10', tmp_path)
    if asked:
        cfg.env_cfg.float32_matmul_precision = asked
    NasiamRunner.from_cfg(cfg)
    assert torch.get_float32_matmul_precision() == found


def test_no_other_precision_is_taken(tmp_path):
    cfg = reduced('nasiam/simclr_r18_baseline_cifar10', tmp_path)
    cfg.env_cfg.float32_matmul_precision = 'tf32'
    with pytest.raises(ValueError, match="must be one of highest, high, medium, got 'tf32'"):
        NasiamRunner.from_cfg(cfg)


@pytest.mark.parametrize('channels_last', [True, False])
def test_weights_are_laid_out_before_a_model_is_wrapped(channels_last, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(NasiamRunner, 'distributed', True)
    monkeypatch.setattr(Runner, 'wrap_model', lambda self, cfg, model: seen.append(model) or model)
    cfg = reduced('nasiam/simclr_r18_baseline_cifar10', tmp_path)
    model = dict(cfg.model, data_preprocessor=dict(cfg.model.data_preprocessor))
    model['data_preprocessor']['channels_last'] = channels_last
    runner = NasiamRunner.__new__(NasiamRunner)
    runner.cfg = cfg
    runner.wrap_model(None, MODELS.build(model))
    kernel = seen[0].backbone.layer1[0].conv1.weight
    assert kernel.is_contiguous(memory_format=torch.channels_last) == channels_last


def test_the_log_says_how_much_of_an_iteration_is_waiting_for_data(tmp_path):
    cfg = reduced('nasiam/simclr_r18_baseline_cifar10', tmp_path, batch_size=16)
    cfg.probe = None
    cfg.default_hooks.logger.interval = 1
    MessageHub._instance_dict.clear()
    runner = NasiamRunner.from_cfg(cfg)
    runner.train()
    scalars = runner.message_hub.log_scalars
    waited, whole, share = (
        scalars[f'train/{what}'].data[0] for what in ('data_time', 'time', 'data_wait')
    )
    assert len(share) == len(whole) > 1
    np.testing.assert_allclose(share, 100 * waited / whole)
    _, line = runner.log_processor.get_log_after_iter(runner, 0, 'train')
    assert 'data_wait: ' in line
