# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Prototypes stand still, bit for bit, in the first epochs, and the queue begins when it is to."""

from itertools import pairwise

import pytest
import torch
from mmengine.hooks import Hook

from nasiam_mm.engine.hooks.prototypes_hook import PrototypesHook
from tests.small import search, train

STEPS = 3  # of an epoch


class Recorder(Hook):
    """Keeps prototypes and the number of embeddings that entered the queue, after each step."""

    priority = 'LOWEST'

    def __init__(self):
        self.prototypes, self.queued, self.momentum = [], [], []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        loss = runner.model.head.loss_module
        self.prototypes.append(loss.prototypes.weight.detach().clone())
        self.queued.append(0 if loss.queue is None else int(loss.queued))
        state = runner.optim_wrapper.optimizer.state[loss.prototypes.weight]
        # Without one is as with one of zeros.
        self.momentum.append(state.get('momentum_buffer', torch.zeros(1)).abs().max().item())


def run(tmp_path, hook, epochs=3, fused=True, framework='swav', **changes):
    cfg = search(framework, tmp_path, epochs=epochs, batch_size=16, **changes)
    for part in (cfg.train_dataloader, cfg.default_hooks.alpha_step.dataloader):
        part.dataset.dataset.parts = dict(weights=0.1, alpha=0.1)
    cfg.optim_wrapper.optimizer.update(weight_decay=0.1, fused=fused)
    cfg.default_hooks.prototypes = dict(type='PrototypesHook', **hook)
    recorder = Recorder()
    runner = train(cfg, *[recorder] * (framework == 'swav'))
    assert len(runner.train_dataloader) == STEPS
    return recorder


@pytest.mark.parametrize('fused', [True, False])
@pytest.mark.parametrize('frozen', [0, 1, 2])
def test_prototypes_stand_still_and_then_learn(frozen, fused, tmp_path):
    record = run(tmp_path, dict(frozen_epochs=frozen), fused=fused)
    still = [torch.equal(a, b) for a, b in pairwise(record.prototypes)]
    held = max(0, STEPS * frozen - 1)
    assert still == [True] * held + [False] * (len(still) - held)
    assert [size == 0 for size in record.momentum] == [n < STEPS * frozen for n in range(9)]
    if frozen:
        norms = record.prototypes[0].norm(dim=1)
        torch.testing.assert_close(norms, torch.ones_like(norms))


def test_the_queue_begins_with_its_epoch(tmp_path):
    record = run(tmp_path, dict(queue_epoch=1))
    assert record.queued == [0, 0, 0, 16, 32, 48, 64, 80, 96]


def test_what_it_is_not_for_is_refused(tmp_path):
    for wrong in (dict(frozen_epochs=-1), dict(queue_epoch=1.5), dict(frozen_epochs=True)):
        with pytest.raises(ValueError, match=r'PrototypesHook\.\w+_epochs? must be a whole number'):
            PrototypesHook(**wrong)
    with pytest.raises(ValueError, match='SimCLR has no prototypes; take the hook out'):
        run(tmp_path, {}, framework='simclr')
    loss = dict(type='SwAVLoss', feat_dim=32, num_prototypes=8)
    with pytest.raises(ValueError, match='queue_epoch: the loss has no queue; set model.head.loss'):
        run(tmp_path, dict(queue_epoch=1), head=dict(type='SwAVHead', loss=loss))
