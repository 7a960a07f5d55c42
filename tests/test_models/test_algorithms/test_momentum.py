# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims about the head inside a key encoder or target.

1. It has weights of its own, which only the moving average moves.
2. It mixes with the online alpha of the moment and owns none (C4).
3. The alpha step moves nothing of it: no queue, pointer, average or statistic (C1).
4. In pretraining the online head trains and the copy follows; the published code froze it.
5. Where BatchNorm becomes SyncBatchNorm, the average moves the new modules' weights, and MoCo need
   not shuffle.
6. The number of its steps and the queue's pointer are not read back from the device, and are right
   after others have changed them.
"""

import copy

import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.model import convert_sync_batchnorm
from torch import nn

from nasiam_mm.engine.optim import WeightOptimWrapperConstructor
from nasiam_mm.models.algorithms.momentum import HostNumber, update_average
from nasiam_mm.search.gradient.gradients import alpha_gradients
from tests.test_models.test_algorithms.toys import (
    MOMENTUM,
    PREDICTING,
    build,
    disturb,
    fixed,
    tensors,
    views,
)

COPIES = ('target_net', 'encoder_k', 'momentum_encoder')
SGD = dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9))


@pytest.fixture(autouse=True)
def max_iters():
    MessageHub._instance_dict.clear()
    MessageHub.get_current_instance().update_info('max_iters', 100)
    yield
    MessageHub._instance_dict.clear()


def momentum_of(model):
    ((average, _),) = model.momentum_pairs()
    return average


@pytest.fixture(params=MOMENTUM)
def model(request):
    return build(request.param)


def test_weights_are_own_copies(model):
    online = {p.data_ptr() for p in model.parameters() if p.requires_grad}
    copies = list(momentum_of(model).parameters())
    assert len(copies) == len([*model.backbone.parameters(), *model.neck.parameters()])
    assert not online & {p.data_ptr() for p in copies}
    assert not any(p.requires_grad for p in copies)
    before = [p.clone() for p in copies]
    disturb(model)
    assert all(map(torch.equal, copies, before))


def test_mixing_weights_follow_at_once_and_weights_do_not(model):
    copied, online = momentum_of(model).module[1].cell, model.neck.cell
    data = torch.randn(6, 8)
    with torch.no_grad():
        before = copied(data)
        model.architecture.alpha('projector')[0] = torch.tensor([-50.0, -50.0, -50.0, 50.0])
        assert torch.equal(copied.mixing_weights(), online.mixing_weights())
        assert not torch.allclose(copied(data), before)
        # All weight on identity: the layer passes its input on.
        torch.testing.assert_close(copied.layers[0](data, copied.mixing_weights()[0]), data)


def test_alpha_exists_once(model):
    expected = {'architecture.alpha_projector'}
    if type(model).__name__ in PREDICTING:
        expected.add('architecture.alpha_predictor')
    assert not any('alpha' in name for name, _ in model.named_parameters())
    assert {name for name in model.state_dict() if 'alpha' in name} == expected
    assert len(model.architecture.alphas()) == len(expected)
    assert not any('alpha' in name for name in momentum_of(model).avg_parameters)


def test_copies_are_in_neither_optimizer(model):
    groups = WeightOptimWrapperConstructor(SGD)(model).optimizer.param_groups
    held = {id(p) for group in groups for p in group['params']}
    alphas = {id(alpha) for alpha in model.architecture.alphas()}
    copies = {id(p) for p in momentum_of(model).parameters()}
    assert not held & copies and not held & alphas and not copies & alphas
    assert held | copies == {id(p) for p in model.parameters()}


def test_a_copy_of_the_model_follows_its_own_alpha(model):
    twin = copy.deepcopy(model)
    twin.architecture.alpha('projector').add_(torch.randn(2, 4))
    assert torch.equal(
        momentum_of(twin).module[1].cell.mixing_weights(), twin.neck.cell.mixing_weights()
    )
    assert not torch.equal(
        momentum_of(twin).module[1].cell.mixing_weights(), model.neck.cell.mixing_weights()
    )


def test_state_goes_into_another_model_whole(model):
    model.loss(views(), None)
    disturb(model)
    model.loss(views(), None)
    other = build(type(model).__name__)
    other.load_state_dict(model.state_dict(), strict=True)
    data = views()
    assert torch.equal(model.loss(data, None)['loss'], other.loss(data, None)['loss'])
    now, there = tensors(model), tensors(other)
    assert now.keys() == there.keys() and all(torch.equal(now[k], there[k]) for k in now)


@pytest.mark.parametrize('symmetric', [False, True])
@pytest.mark.parametrize('framework', MOMENTUM)
def test_alpha_step_amid_training_moves_nothing(framework, symmetric):
    model = build(framework, **(dict(symmetric=symmetric) if framework == 'MoCo' else {}))
    for _ in range(2):
        model.loss(views(), None)
        disturb(model)
    before, generator = tensors(model), torch.get_rng_state()
    alphas = model.architecture.alphas()
    data = dict(inputs=views(), data_samples=None)
    generator = torch.get_rng_state()
    _, gradients = alpha_gradients(model, data, alphas)
    assert all(gradient.abs().sum() > 0 for gradient in gradients)
    assert torch.equal(torch.get_rng_state(), generator)
    after = tensors(model)
    assert after.keys() == before.keys()
    for name, value in after.items():
        assert torch.equal(value, before[name]), name
    moving = [n for n in before if 'steps' in n or 'queue' in n or 'running' in n]
    assert len(moving) >= 1 + 2 * (framework == 'MoCo')
    # The weight step does move them: what was compared can move.
    model.loss(data['inputs'], None)
    moved = {n for n, value in tensors(model).items() if not torch.equal(value, before[n])}
    assert moved >= {n for n in moving if not n.startswith(COPIES)}
    assert any(n.endswith('steps') for n in moved)


@pytest.mark.parametrize('framework', MOMENTUM)
def test_in_pretraining_the_online_head_trains_and_the_copy_follows(framework, tmp_path):
    model = build(framework, genotype=fixed(tmp_path))
    wrapper = WeightOptimWrapperConstructor(SGD)(model)
    copied, online = momentum_of(model).module[1], model.neck
    assert not {p.data_ptr() for p in copied.parameters()} & {
        p.data_ptr() for p in online.parameters()
    }
    wrapper.update_params(model.loss(views(), None)['loss'])
    before = [p.clone() for p in copied.parameters()]
    loss = model.loss(views(), None)['loss']
    loss.backward()
    assert list(online.parameters())
    for name, parameter in online.named_parameters():
        assert parameter.grad.abs().sum() > 0, name
    # By the rate of the first step after the copy.
    rate = 0.1 if framework == 'MoCo' else 0.1 * (torch.cos(torch.tensor(torch.pi / 100)) + 1) / 2
    for old, new, weight in zip(before, copied.parameters(), online.parameters(), strict=True):
        assert not torch.equal(old, weight)
        torch.testing.assert_close(new, old + rate * (weight - old), atol=1e-6, rtol=1e-5)


def test_every_norm_of_the_copy_is_its_own(model):
    norms = [m for m in momentum_of(model).modules() if isinstance(m, nn.BatchNorm1d)]
    online = {id(m) for m in model.neck.modules()}
    assert norms and not online & {id(m) for m in norms}


def test_sync_batchnorm_takes_over_the_averaged_weights(model, monkeypatch):
    monkeypatch.setattr('nasiam_mm.models.algorithms.moco.get_world_size', lambda: 2)
    if type(model).__name__ == 'MoCo':
        assert model._normalises_per_process()
    model = convert_sync_batchnorm(model, 'torch')
    if type(model).__name__ == 'MoCo':
        assert not model._normalises_per_process()
    momentum = momentum_of(model)
    online = nn.Sequential(model.backbone, model.neck)
    momentum.update_parameters(online)
    disturb(model)
    before = {n: p.clone() for n, p in momentum.module.named_parameters()}
    momentum.update_parameters(online)
    norms = [n for n, m in momentum.module.named_modules() if isinstance(m, nn.SyncBatchNorm)]
    assert norms
    for name, weight in momentum.module.named_parameters():
        assert not torch.equal(weight, before[name]), name
    # Alpha still has its one owner, from which both read.
    model.architecture.alpha('projector').add_(torch.randn(2, 4))
    assert torch.equal(
        momentum.module[1].cell.mixing_weights(), model.architecture.weights('projector')
    )


def test_the_average_is_that_of_mmengine(model):
    ours = momentum_of(model)
    theirs = copy.deepcopy(model)
    online = nn.Sequential(model.backbone, model.neck)
    steps = HostNumber()
    for _ in range(4):
        update_average(ours, online, steps)
        momentum_of(theirs).update_parameters(online)
        disturb(model)
        expected = momentum_of(theirs).state_dict()
        for name, mine in ours.state_dict().items():
            # A momentum by cosine is float32 there and Python's own float here.
            torch.testing.assert_close(mine, expected[name], atol=1e-7, rtol=1e-6, msg=name)
    assert int(ours.steps) == 4


def test_a_number_is_read_back_only_when_others_changed_it(monkeypatch):
    reads = []
    honest = torch.Tensor.__int__
    monkeypatch.setattr(torch.Tensor, '__int__', lambda t: reads.append(t) or honest(t))
    number, buffer = HostNumber(), torch.tensor([3])
    assert number.read(buffer) == 3
    for value in (4, 5):
        number.write(buffer, value)
        assert number.read(buffer) == value == buffer.item()
    assert len(reads) == 1
    buffer.copy_(torch.tensor([9]))  # as load_state_dict does
    assert number.read(buffer) == 9
    assert number.read(torch.tensor([7])) == 7  # as a module moved to a device has
    assert copy.deepcopy(number).read(buffer) == 9
    assert len(reads) == 4
