# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims: exact counts in a real Runner; the step moves alpha alone; bad set-ups are refused."""

import copy
from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.logging import MMLogger

from nasiam_mm.models.frameworks import FRAMEWORKS
from nasiam_mm.registry import OPTIMIZERS
from nasiam_mm.search.gradient.hook import AlphaStepHook
from tests import small
from tests.reduced import reduced
from tests.small import search

RECIPE = 'nasiam/simsiam_r18_search_cifar10'


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
            is_alpha = key.startswith('architecture.alpha_')
            assert torch.equal(model[key], model_after[key]) != is_alpha, key
        assert same(optimizer, optimizer_after)
        assert all(p.grad is None for p in runner.model.parameters())
        self.steps += 1


def alpha_hook(runner):
    return next(hook for hook in runner.hooks if isinstance(hook, AlphaStepHook))


def train(cfg):
    """Train with a look before and after each alpha step; return runner, alpha step and looks."""
    cfg.default_hooks.pop('genotype', None)
    probe = Probe()

    class Place(Hook):
        def before_run(self, runner):
            position = runner.hooks.index(alpha_hook(runner))
            runner._hooks[position : position + 1] = [probe, alpha_hook(runner), probe]

    runner = small.train(cfg, Place())
    return runner, alpha_hook(runner), probe


@pytest.mark.parametrize('framework', FRAMEWORKS.values(), ids=FRAMEWORKS)
def test_two_epochs_count_exactly_and_move_alpha_alone(framework, tmp_path):
    runner, hook, probe = train(search(framework, tmp_path, epochs=2, batch_size=64))
    per_epoch = len(runner.train_dataloader)
    assert per_epoch >= 2
    assert runner.iter == hook.steps == probe.steps == 2 * per_epoch
    architecture = runner.model.architecture
    for head in architecture.choices:
        alpha, present = architecture.alpha(head), architecture.present(head)
        assert alpha.grad is None and not alpha.requires_grad
        assert (alpha[~present] == 0).all() and (alpha[present] != 0).all()
        assert hook.optimizer.state[alpha]['step'] == 2 * per_epoch


@pytest.mark.parametrize(('iterations', 'idle'), [(3, True), (5, True), (8, False)])
def test_a_search_in_which_alpha_takes_no_step_says_so(iterations, idle):
    # Due at 0 and 5 alone; the warm-up is a third.
    waits = dict(type='AlphaWarmup', share=1 / 3)
    hook = AlphaStepHook({}, dict(type='Adam', lr=0.1), interval=5, schedules=[waits])
    hook.check(small.build('simclr'))
    hook.loader, told = [], []
    runner = SimpleNamespace(
        iter=0,
        max_iters=iterations,
        optim_wrapper=SimpleNamespace(_accumulative_counts=1),
        logger=SimpleNamespace(warning=told.append),
    )
    hook.before_train(runner)
    assert len(told) == idle
    if idle:
        assert f'alpha takes no step in the {iterations} iterations of this search' in told[0]


class Counts(Hook):
    """Counts changes of alpha, and of the weights, over the iterations."""

    priority = 'LOWEST'

    def before_train(self, runner):
        self.alpha, self.weights = [], []
        self.seen = None

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        alpha = runner.model.architecture.alpha('projector').clone()
        weight = runner.model.backbone.conv1.weight.detach().clone()
        if self.seen is not None:
            self.alpha.append(not torch.equal(alpha, self.seen[0]))
            self.weights.append(not torch.equal(weight, self.seen[1]))
        self.seen = alpha, weight


def accumulating(framework, folder, count=2):
    cfg = search(framework, folder)
    cfg.optim_wrapper.accumulative_counts = count
    cfg.default_hooks.logger.interval = 1
    return cfg


def test_one_alpha_step_a_weight_step_where_gradients_add_up(tmp_path):
    counts = Counts()
    runner = small.train(accumulating('simsiam', tmp_path), counts)
    # Seven iterations; the weights step after the second, fourth, sixth and, as the run ends, the
    # seventh, alpha before the first, third, fifth and seventh.
    assert runner.iter == 7 and alpha_hook(runner).steps == 4
    assert counts.alpha == [False, True, False, True, False, True]
    assert counts.weights == [True, False, True, False, True, True]
    history, _ = runner.message_hub.get_scalar('train/alpha_loss').data
    assert len(history) == 7


@pytest.mark.parametrize(('framework', 'name'), [('byol', 'BYOL'), ('mocov2', 'MoCo')])
def test_an_average_with_gradients_that_add_up_is_refused(framework, name, tmp_path):
    with pytest.raises(ValueError, match=f'accumulative_counts is 2, but the average of {name} '):
        small.train(accumulating(framework, tmp_path))


class Scaler(Hook):
    """Stands for the scaler of float16, whose gradients overflow in two of the steps."""

    def before_train(self, runner):
        scales = iter([1.0, float('inf'), 1.0, float('inf')] + [1.0] * 99)
        runner.optim_wrapper.loss_scaler = SimpleNamespace(get_scale=lambda: next(scales))


@pytest.mark.parametrize('second_order', [False, True])
def test_a_step_that_overflowed_is_told_and_counted(second_order, tmp_path):
    cfg = search('simsiam', tmp_path)
    cfg.default_hooks.alpha_step.second_order = second_order
    counts = Counts()
    MMLogger._instance_dict.clear()
    runner = small.train(cfg, Scaler(), counts)
    hook = alpha_hook(runner)
    assert (hook.steps, hook.skipped) == (7, 2)
    assert counts.alpha == [False, True, False, True, True, True]
    assert hook.optimizer.state[hook.alphas[0]]['step'] == 5
    (log,) = tmp_path.glob('*/*.log')
    assert 'alpha step 2 left out: its gradient overflowed in float16, 1 so far' in log.read_text()
    assert 'alpha step 4 left out' in log.read_text()


def test_owners_are_disjoint_and_complete(tmp_path):
    cfg = reduced(RECIPE, tmp_path)
    for name in ('genotype', 'health', 'probe'):
        cfg.default_hooks.pop(name)
    runner = small.train(cfg)
    groups = runner.optim_wrapper.optimizer.param_groups
    weights = [id(p) for group in groups for p in group['params']]
    alphas = [id(p) for group in alpha_hook(runner).optimizer.param_groups for p in group['params']]
    assert len(set(weights)) == len(weights)
    assert alphas == [id(alpha) for alpha in runner.model.architecture.alphas()]
    assert not set(weights) & set(alphas)
    assert set(weights) == {id(p) for p in runner.model.parameters()}
    # SimSiam: the predictor's rate is fixed, so two settings and no more.
    assert sorted(group.get('fix_lr', False) for group in groups) == [False, True]


@pytest.mark.parametrize(
    'optimizer',
    [dict(type='Adam', lr=3e-4, betas=(0.5, 0.999), weight_decay=1e-3),
     dict(type='AdamW', lr=1e-3), dict(type='SGD', lr=0.1, momentum=0.9)],
    ids=['Adam', 'AdamW', 'SGD'],
)  # fmt: skip
def test_an_optimizer_for_each_cell_would_take_the_same_steps(optimizer):
    """D-DARTS has an alpha and an optimizer for each cell; these step each entry on its own."""
    whole = [torch.randn(4, 3), torch.randn(2, 5)]  # two heads, whose layers are the cells
    cells = [row.clone()[None] for alpha in whole for row in alpha]
    together = OPTIMIZERS.build(dict(optimizer, params=whole))
    apart = [OPTIMIZERS.build(dict(optimizer, params=[cell])) for cell in cells]
    for _ in range(5):
        for alpha in whole:
            alpha.grad = torch.randn_like(alpha)
        for cell, gradient in zip(cells, [row for a in whole for row in a.grad], strict=True):
            cell.grad = gradient.clone()[None]
        for each in (together, *apart):
            each.step()
    rows = [row for alpha in whole for row in alpha]
    assert all(torch.equal(row, cell[0]) for row, cell in zip(rows, cells, strict=True))


@pytest.mark.parametrize('lr', ['fast', None, 0, -1e-3, float('nan'), float('inf'), True])
def test_learning_rate_that_is_none(lr):
    with pytest.raises(ValueError, match=r'AlphaStepHook.optimizer.lr must be a positive number'):
        AlphaStepHook(dataloader={}, optimizer=dict(type='Adam', lr=lr))


def refused(tmp_path, change):
    cfg = search('simclr', tmp_path)
    change(cfg)
    with pytest.raises(ValueError) as caught:
        small.train(cfg)
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
    class Taker(Hook):
        """Puts alpha where the stock constructor would put a parameter."""

        priority = 'HIGHEST'

        def before_run(self, runner):
            wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
            wrapper.optimizer.add_param_group(dict(params=runner.model.architecture.alphas()))
            runner.optim_wrapper = wrapper

    message = "set optim_wrapper.constructor='WeightOptimWrapperConstructor'"
    with pytest.raises(ValueError, match=message):
        small.train(search('simclr', tmp_path), Taker())


def test_a_model_with_nothing_to_search(tmp_path):
    def change(cfg):
        cfg.model = dict(type='SimCLR', backbone=cfg.model.backbone, head=cfg.model.head)
        cfg.model.neck = dict(type='MoCoV2Neck', in_channels=64, hid_channels=8, out_channels=8)
        cfg.default_hooks.pop('genotype')

    assert 'SimCLR has nothing to search; set model.space' in refused(tmp_path, change)


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

    assert 'come from a SplitDataset, got Images' in refused(tmp_path, change)
