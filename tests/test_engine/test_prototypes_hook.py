# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Prototypes stand still, bit for bit, in the first epochs, and the queue begins when it is to."""

from itertools import pairwise

import pytest
import torch
from mmengine.hooks import Hook

from benchmarks.compare import compare_checkpoints
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


class Dies(Hook):
    """Ends the process after an iteration."""

    priority = 'LOWEST'

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == 2:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    'optimizer', [dict(type='SGD', lr=0.1, momentum=0.9), dict(type='AdamW', lr=1e-3)]
)
def test_a_run_that_dies_while_they_stand_still_goes_on(optimizer, tmp_path):
    # In a group of their own, of which the optimizer keeps nothing yet.
    def cfg(name, **changes):
        made = search('swav', tmp_path / name, epochs=2, batch_size=16)
        made.train_dataloader.dataset.dataset.parts = dict(weights=0.1, alpha=0.1)
        made.default_hooks.alpha_step.dataloader.dataset.dataset.parts = dict(
            weights=0.1, alpha=0.1
        )
        made.optim_wrapper.optimizer = optimizer
        made.optim_wrapper.paramwise_cfg = dict(custom_keys=dict(prototypes=dict(lr_mult=0.5)))
        made.default_hooks.prototypes = dict(type='PrototypesHook', frozen_epochs=1, queue_epoch=1)
        made.default_hooks.checkpoint.update(by_epoch=False, interval=2)
        made.merge_from_dict(changes)
        return made

    train(cfg('whole'))
    with pytest.raises(KeyboardInterrupt):
        train(cfg('torn'), Dies())
    train(cfg('torn', resume=True))
    name = f'iter_{2 * STEPS}.pth'
    assert compare_checkpoints(tmp_path / 'whole' / name, tmp_path / 'torn' / name) == []


@pytest.mark.parametrize(
    ('hook', 'told'),
    [
        (dict(frozen_epochs=1), 'prototypes stand still in all of the 1 epochs; lower frozen'),
        (dict(frozen_epochs=0, queue_epoch=1), 'the queue of 8 is not full before the last of 1'),
        (dict(frozen_epochs=0), None),
    ],
)
def test_what_a_run_is_too_short_for_is_told(hook, told, tmp_path):
    run(tmp_path, hook, epochs=1)
    (log,) = tmp_path.glob('*/*.log')
    lines = [line for line in log.read_text().splitlines() if 'PrototypesHook:' in line]
    assert len(lines) == (told is not None) and all(told in line for line in lines)
