# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A search on the fast path walks the path of the plain one, in every framework.

Plain: images loaded one by one, contiguous layout, a matrix product per candidate. Fast: images
that stay on the device, channels_last, candidates of one input mapped together. Both in float64:
training amplifies rounding, and would hide an error behind it in float32.
"""

import pytest
import torch
from mmengine.hooks import Hook

from nasiam_mm.models.frameworks import FRAMEWORKS
from tests.reduced import in_float64
from tests.small import search, train

STEPS = 7  # of an epoch of an eighth of the fixture


class Trajectory(Hook):
    """Notes loss and alpha of every iteration."""

    priority = 'LOWEST'

    def __init__(self):
        self.losses, self.alphas = [], []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.losses.append(outputs['loss'].item())
        self.alphas.append(torch.cat([a.flatten() for a in runner.model.architecture.alphas()]))


class InFloat64(Hook):
    """Turns the run to float64 before anything is built on it."""

    priority = 'HIGHEST'

    def before_run(self, runner):
        in_float64(runner)


def make_plain(cfg):
    cfg.model.data_preprocessor.channels_last = False
    alpha_hook = cfg.default_hooks.alpha_step
    for loader in (cfg.train_dataloader, alpha_hook.dataloader):
        loader.collate_fn = dict(type='default_collate')
        loader.dataset.type = 'ReplayDataset'
        loader.dataset.with_view_seed = True


def make_fast(cfg):
    assert cfg.model.data_preprocessor.channels_last
    assert cfg.train_dataloader.dataset.type == 'ResidentDataset'
    heads = [cfg.model.neck, cfg.model.get('head', {}).get('predictor', {})]
    for head in heads:
        if head.get('type') == 'HeadMLP':
            head.fused = True


def trajectory(framework, work_dir, change):
    cfg = search(framework, work_dir, batch_size=16)
    change(cfg)
    for part in (cfg.train_dataloader, cfg.default_hooks.alpha_step.dataloader):
        part.dataset.dataset.parts = dict(weights=0.25, alpha=0.25)
    cfg.default_hooks.pop('genotype')
    notes = Trajectory()
    train(cfg, InFloat64(), notes)
    return notes


@pytest.mark.parametrize('framework', FRAMEWORKS.values(), ids=FRAMEWORKS)
def test_trajectories_agree(framework, tmp_path):
    plain = trajectory(framework, tmp_path / 'plain', make_plain)
    fast = trajectory(framework, tmp_path / 'fast', make_fast)
    assert len(plain.losses) == len(fast.losses) == STEPS
    assert plain.losses == pytest.approx(fast.losses, rel=1e-8, abs=1e-8)
    for a, b in zip(plain.alphas, fast.alphas, strict=True):
        assert torch.allclose(a, b, atol=1e-9)
    # Alpha has moved by far more than the paths differ.
    assert plain.alphas[-1].abs().max() > 2e-3
