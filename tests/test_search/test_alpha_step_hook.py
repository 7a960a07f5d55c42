# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims: exact counts in a real Runner; the step moves alpha alone; bad set-ups are refused."""

import copy

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from nasiam_mm.models.searched_cells import searched_cells

from nasiam_mm.search.gradient.hook import AlphaStepHook
from tests.reduced import reduced

SEARCHES = [
    'nasiam/simsiam_r18_search_cifar10',
    'nasiam/simclr_r18_search_cifar10',
    'nasiam/simsiam_r18_search_cifar10_demo',
    'nasiam/simclr_r18_search_cifar10_demo',
    'nasiam/mocov2_r18_search_cifar10',
    'nasiam/byol_r18_search_cifar10',
]


def snapshot(runner):
    """Every tensor of the model and of the weight optimizer, and the learning rates."""
    return copy.deepcopy((runner.model.state_dict(), runner.optim_wrapper.optimizer.state_dict()))


def same(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


class Probe(Hook):
    """Looks before and after the alpha step of each iteration."""

    def __init__(self):
        self.before, self.steps = None, 0

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if self.before is None:
            self.before = snapshot(runner)
            return
        (model, optimizer), (model_after, optimizer_after) = self.before, snapshot(runner)
        self.before = None
        for key in model:
            assert torch.equal(model[key], model_after[key]) != key.endswith('cell.alpha'), key
        assert same(optimizer, optimizer_after)
        assert all(p.grad is None for p in runner.model.parameters())
        self.steps += 1


def alpha_hook(runner):
    return next(hook for hook in runner.hooks if isinstance(hook, AlphaStepHook))


@pytest.mark.parametrize('name', SEARCHES)
def test_two_epochs_count_exactly_and_move_alpha_alone(name, tmp_path):
    runner = Runner.from_cfg(reduced(name, tmp_path, epochs=2))
    probe = Probe()
    hook = alpha_hook(runner)
    position = runner.hooks.index(hook)
    runner._hooks[position : position + 1] = [probe, hook, probe]
    runner.train()
    per_epoch = len(runner.train_dataloader)
    assert per_epoch >= 2
    assert runner.iter == hook.steps == probe.steps == 2 * per_epoch
    for cell in searched_cells(runner.model).values():
        assert cell.alpha.grad is None
        assert (cell.alpha[cell.absent] == 0).all()
        assert (cell.alpha[~cell.absent] != 0).all()
        assert hook.optimizer.state[cell.alpha]['step'] == 2 * per_epoch


def test_owners_are_disjoint_and_complete(tmp_path):
    runner = Runner.from_cfg(reduced(SEARCHES[0], tmp_path))
    runner.train()
    groups = runner.optim_wrapper.optimizer.param_groups
    weights = [id(p) for group in groups for p in group['params']]
    alphas = [id(p) for group in alpha_hook(runner).optimizer.param_groups for p in group['params']]
    assert len(set(weights)) == len(weights)
    assert set(alphas) == {id(c.alpha) for c in searched_cells(runner.model).values()}
    assert not set(weights) & set(alphas)
    assert set(weights) | set(alphas) == {id(p) for p in runner.model.parameters()}
    # SimSiam: the predictor's rate is fixed, so two settings and no more.
    assert sorted(group.get('fix_lr', False) for group in groups) == [False, True]


@pytest.mark.parametrize('lr', ['fast', None, 0, -1e-3, float('nan'), float('inf'), True])
def test_learning_rate_that_is_none(lr):
    with pytest.raises(ValueError, match=r'AlphaStepHook.optimizer.lr must be a positive number'):
        AlphaStepHook(dataloader={}, optimizer=dict(type='Adam', lr=lr))


def refused(tmp_path, change):
    cfg = reduced(SEARCHES[1], tmp_path)
    change(cfg)
    with pytest.raises(ValueError) as caught:
        Runner.from_cfg(cfg).train()
    assert '\n' not in str(caught.value)
    return str(caught.value)


def test_parts_that_overlap(tmp_path):
    def change(cfg):
        cfg.default_hooks.alpha_step.dataloader.dataset.dataset.part = 'weights'

    assert '250 images are in both the weight part and the held-out part' in refused(
        tmp_path, change
    )


def test_batch_larger_than_the_held_out_part(tmp_path):
    def change(cfg):
        cfg.default_hooks.alpha_step.dataloader.batch_size = 251

    message = 'the held-out part has 250 images per process, fewer than a batch of 251'
    assert message in refused(tmp_path, change)


def test_weight_optimizer_that_holds_alpha(tmp_path):
    def change(cfg):
        del cfg.optim_wrapper['constructor']

    assert "set optim_wrapper.constructor='WeightOptimWrapperConstructor'" in refused(
        tmp_path, change
    )


def test_stock_sampler(tmp_path):
    def change(cfg):
        cfg.default_hooks.alpha_step.dataloader.sampler = dict(type='DefaultSampler')

    assert "needs sampler=dict(type='ReplaySampler'), got DefaultSampler" in refused(
        tmp_path, change
    )


def test_loader_without_a_part(tmp_path):
    def change(cfg):
        dataset = cfg.default_hooks.alpha_step.dataloader.dataset
        dataset.dataset = dataset.dataset.dataset

    assert 'draw from a SplitDataset, got CIFAR10' in refused(tmp_path, change)
