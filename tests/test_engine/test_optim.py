# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims: the weight optimizer owns what trains, in one group a setting; bf16 needs no GPU."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from torch import nn

from nasiam_mm.checks.before_training import find_problems
from nasiam_mm.engine.optim import AutocastOptimWrapper, WeightOptimWrapperConstructor
from nasiam_mm.registry import MODELS
from nasiam_mm.search.gradient.hook import AlphaStepHook
from tests.reduced import light, reduced

SGD = dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=5e-4))


def groups_of(model, **paramwise):
    constructor = WeightOptimWrapperConstructor(SGD, paramwise or None)
    return constructor(model).optimizer.param_groups


@pytest.mark.parametrize('keys', [('predicter',), ('predictor', 'head.predictor'), ('alpha',)])
def test_a_custom_key_that_decides_nothing_is_refused(keys, tmp_path):
    cfg = reduced('nasiam/simsiam_r18_search_cifar10', tmp_path)
    cfg.optim_wrapper.paramwise_cfg.custom_keys = {key: dict(lr_mult=0.5) for key in keys}
    told = f'custom_keys.{keys[0]} decides nothing: no trained weight has .* and no longer key'
    with pytest.raises(ValueError, match=told):
        groups_of(MODELS.build(cfg.model), **cfg.optim_wrapper.paramwise_cfg)
    [line] = find_problems(cfg)
    assert line.startswith('optimizer: ') and 'names begin with backbone, neck, head' in line


@pytest.mark.parametrize(('base', 'counts', 'lr'), [(16, 1, 0.12), (16, 2, 0.24), (64, 1, 0.03)])
def test_the_rate_is_scaled_by_the_batch_of_a_weight_step(base, counts, lr, tmp_path):
    cfg = reduced('nasiam/simsiam_r18_search_cifar10', tmp_path)
    cfg.merge_from_dict({'auto_scale_lr': dict(base_batch_size=base, enable=True)})
    cfg.optim_wrapper.accumulative_counts = counts
    runner = Runner.from_cfg(cfg) if 'runner_type' not in cfg else RUNNERS.build(cfg)
    wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    runner.scale_lr(wrapper, cfg.auto_scale_lr)
    assert [group['lr'] for group in wrapper.optimizer.param_groups] == [pytest.approx(lr)] * 2
    for wrong in (None, 0, 'many'):
        with pytest.raises(ValueError, match='base_batch_size must be a positive number, got'):
            runner.scale_lr(wrapper, dict(enable=True, base_batch_size=wrong))


@pytest.mark.parametrize('paramwise', [{}, dict(custom_keys=dict(predictor=dict(lr_mult=0.5)))])
def test_groups_hold_every_weight_once_and_no_alpha(paramwise, tmp_path):
    model = MODELS.build(reduced('nasiam/simsiam_r18_search_cifar10', tmp_path).model)
    groups = groups_of(model, **paramwise)
    held = [id(p) for group in groups for p in group['params']]
    alphas = {id(alpha) for alpha in model.architecture.alphas()}
    assert len(alphas) == 2 and not alphas & set(held)
    assert sorted(held) == sorted(id(p) for p in model.parameters())
    assert len(groups) == 1 + bool(paramwise)
    if paramwise:
        assert sorted(group['lr'] for group in groups) == [0.05, 0.1]
        predictor = {id(p) for p in model.head.predictor.parameters()}
        (slow,) = (group for group in groups if group['lr'] == 0.05)
        assert {id(p) for p in slow['params']} == predictor


def test_momentum_copies_are_left_out():
    online, copy = nn.Linear(2, 2), nn.Linear(2, 2).requires_grad_(False)
    (group,) = groups_of(nn.ModuleList([online, copy]))
    assert [id(p) for p in group['params']] == [id(p) for p in online.parameters()]


def test_flat_options_reach_biases_and_norms_and_nothing_else(tmp_path):
    model = MODELS.build(reduced('nasiam/byol_r18_search_cifar10', tmp_path).model)
    normal, flat = groups_of(model, flat_options=dict(weight_decay=0.0, lars_exclude=True))
    assert (normal['weight_decay'], normal.get('lars_exclude')) == (5e-4, None)
    assert (flat['weight_decay'], flat['lars_exclude']) == (0.0, True)
    names = {id(p): name for name, p in model.named_parameters()}
    norms = (nn.BatchNorm1d, nn.BatchNorm2d)
    expected = {id(p) for m in model.modules() if isinstance(m, norms) for p in m.parameters()}
    expected |= {key for key, name in names.items() if name.endswith('bias')}
    trained = {id(p) for p in model.parameters() if p.requires_grad}
    assert {id(p) for p in flat['params']} == expected & trained
    assert {id(p) for p in normal['params']} == trained - expected
    # A custom key 'bn' would have taken these along.
    assert any('linear_bn_relu.0.weight' in names[id(p)] for p in normal['params'])


@pytest.mark.parametrize('native', [True, False])
def test_autocast_runs_in_bfloat16_where_the_cpu_has_it_and_steps_in_float32(native, monkeypatch):
    monkeypatch.setattr('nasiam_mm.engine.optim.computes_bfloat16', lambda: native)
    layer = nn.Linear(4, 4)
    wrapper = AutocastOptimWrapper(optimizer=torch.optim.SGD(layer.parameters(), lr=0.1))
    before = layer.weight.clone()
    with wrapper.optim_context(layer):
        output = layer(torch.ones(2, 4))
    # Emulated, bfloat16 costs several times what float32 does.
    assert output.dtype is (torch.bfloat16 if native else torch.float32)
    wrapper.update_params(output.float().sum())
    assert layer.weight.dtype is torch.float32
    torch.testing.assert_close(layer.weight, before - 0.2)


def test_float16_is_refused():
    with pytest.raises(ValueError, match="must be 'bfloat16', got 'float16'; for float16 use"):
        AutocastOptimWrapper(
            dtype='float16', optimizer=torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1)
        )


@pytest.mark.parametrize(('scale', 'moves'), [(2.0**16, True), (float('inf'), False)])
def test_alpha_rests_where_its_float16_gradient_overflows(scale, moves, tmp_path):
    class Scaler(Hook):
        def before_train(self, runner):
            runner.optim_wrapper.loss_scaler = SimpleNamespace(get_scale=lambda: scale)

    runner = Runner.from_cfg(light(reduced('nasiam/simclr_r18_search_cifar10', tmp_path)))
    runner.register_hook(Scaler())
    runner.train()
    hook = next(hook for hook in runner.hooks if isinstance(hook, AlphaStepHook))
    assert hook.steps == len(runner.train_dataloader)
    alpha = runner.model.architecture.alpha('projector')
    assert alpha.isfinite().all() and bool(alpha.any()) == moves
