# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What every framework promises, asked of all that are registered (see ``Searched``).

1. The alpha step moves nothing: no statistic, average, queue, counter, flag or random number (C1).
2. Its gradient is that of the full graph bit for bit, under bfloat16 too (C2).
3. Alpha has one owner: once in the state dict, in no parameter, in no average; copies of a head
   read it, a copy of the model owns its own (C4).
4. Averages start equal to what they follow.
5. Checkpoints of version 0.1 are taken up.
"""

import contextlib
import copy

import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.model import ExponentialMovingAverage
from torch import nn

from examples import align_uniform  # noqa: F401  a stranger's framework keeps them too
from nasiam_mm.models.choice import ChoiceCell
from nasiam_mm.models.frameworks import FRAMEWORKS, Framework, register_framework
from nasiam_mm.registry import MODELS
from nasiam_mm.search.gradient.gradients import (
    alpha_gradients,
    statistics_stand_still,
    unrolled_alpha_gradients,
)
from tests.small import batch, build, config, tensors

PRECISION = {
    'float32': contextlib.nullcontext,
    'bfloat16': lambda: torch.autocast('cpu', torch.bfloat16),
}
every = pytest.mark.parametrize('framework', FRAMEWORKS.values(), ids=FRAMEWORKS)


@pytest.fixture(autouse=True)
def max_iters():
    MessageHub._instance_dict.clear()
    MessageHub.get_current_instance().update_info('max_iters', 100)
    yield
    MessageHub._instance_dict.clear()


def first_order(model, data):
    return alpha_gradients(model, data, model.architecture.alphas())


def unrolled(model, data):
    train_data = dict(data, inputs=[view.flip(0) for view in data['inputs']])
    alphas = model.architecture.alphas()
    return unrolled_alpha_gradients(model, data, train_data, alphas, lambda w, g: 0.05 * g)


def full_graph(model, data):
    alphas = model.architecture.alphas()
    for alpha in alphas:
        alpha.requires_grad_(True)
    losses = model.loss(data['inputs'], data['data_samples'], update_state=False)
    losses['loss'].backward()
    return losses['loss'].detach(), [alpha.grad for alpha in alphas]


@every
@pytest.mark.parametrize('precision', PRECISION)
@pytest.mark.parametrize('seed', [0, 1])
def test_alpha_gradients_equal_those_of_the_full_graph_bit_for_bit(framework, precision, seed):
    model, data = build(framework, seed), batch()
    twin = copy.deepcopy(model)
    with PRECISION[precision]():
        loss, gradients = first_order(model, data)
        expected_loss, expected = full_graph(twin, data)
    assert torch.equal(loss, expected_loss)
    assert len(gradients) == len(expected) == len(model.searched_heads())
    for gradient, reference in zip(gradients, expected, strict=True):
        assert gradient.isfinite().all() and gradient.abs().sum() > 0
        assert torch.equal(gradient, reference)


@every
@pytest.mark.parametrize('precision', PRECISION)
@pytest.mark.parametrize('gradient', [first_order, unrolled])
def test_the_alpha_step_moves_nothing_and_the_weight_step_does(framework, precision, gradient):
    model, data = build(framework), batch()
    # Amid training: averages apart from what they follow, a queue that is begun.
    model.loss(batch()['inputs'], None)
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data += 0.01 * torch.randn_like(weight)
    before = tensors(model)
    flags = {name: p.requires_grad for name, p in model.named_parameters()}
    state = torch.get_rng_state()
    with PRECISION[precision]():
        gradient(model, data)
    assert torch.equal(torch.get_rng_state(), state)
    for name, value in tensors(model).items():
        assert torch.equal(value, before[name]), name
    assert {name: p.requires_grad for name, p in model.named_parameters()} == flags
    assert all(p.grad is None for p in model.parameters())
    assert all(a.grad is None and not a.requires_grad for a in model.architecture.alphas())
    norms = [m for m in model.modules() if hasattr(m, 'track_running_stats')]
    assert norms and all(norm.track_running_stats and norm.training for norm in norms)
    # What was compared can move: all that is neither trained nor alpha.
    model.loss(data['inputs'], None)
    still = {name for name, value in tensors(model).items() if torch.equal(value, before[name])}
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    fixed = {n for n, _ in model.named_buffers() if n.startswith(('architecture.', 'data_pre'))}
    assert still - trained - fixed == set()


@every
def test_statistics_are_put_back_bit_for_bit(framework):
    model, data = build(framework), batch()
    before = tensors(model)
    with statistics_stand_still(model):
        model.loss(data['inputs'], None, update_state=False)
        moved = {n for n, value in tensors(model).items() if not torch.equal(value, before[n])}
    assert moved and all('running' in n or 'num_batches' in n for n in moved)
    assert all(torch.equal(value, before[name]) for name, value in tensors(model).items())


@every
def test_alpha_exists_once_and_no_average_takes_it(framework):
    model = build(framework)
    names = {f'architecture.alpha_{head}' for head in model.searched_heads()}
    assert {name for name in model.state_dict() if 'alpha' in name} == names
    assert not any('alpha' in name for name, _ in model.named_parameters())
    for average, _ in model.momentum_pairs():
        assert not any('alpha' in name for name in average.avg_parameters)
        assert not any('alpha' in name for name in average.state_dict())
    # mmengine's EMAHook averages the whole model so.
    whole = ExponentialMovingAverage(model, momentum=0.5)
    for alpha in model.architecture.alphas():
        alpha.add_(1)
    before = [alpha.clone() for alpha in model.architecture.alphas()]
    for _ in range(2):
        whole.update_parameters(model)
    for now, averaged, then in zip(
        model.architecture.alphas(), whole.module.architecture.alphas(), before, strict=True
    ):
        assert torch.equal(now, then) and torch.equal(averaged, then)


def mixing(module):
    """Mixing weights of the cells within a module, by the name of the head."""
    cells = [cell for cell in module.modules() if isinstance(cell, ChoiceCell)]
    return {cell.head: cell.mixing_weights() for cell in cells}


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


@every
def test_copies_read_the_alpha_of_the_moment_of_their_own_model(framework):
    model = build(framework)
    neck, twin, before = copy.deepcopy(model.neck), copy.deepcopy(model), mixing(model)
    twins_neck = copy.deepcopy(twin.neck)
    for alpha in model.architecture.alphas():
        alpha[0, 0] += 1
    now = {head: model.architecture.weights(head) for head in model.searched_heads()}
    assert not any(torch.equal(now[head], before[head]) for head in now)
    assert equal(mixing(neck), {'projector': now['projector']})
    averages = [average for average, _ in model.momentum_pairs()]
    assert all(equal(mixing(a), {'projector': now['projector']}) for a in averages)
    assert all(cell.source.architecture is twin.architecture for cell in cells_of(twin))
    assert equal(mixing(twin), before) and equal(mixing(twins_neck), mixing(twin.neck))
    assert len(cells_of(twin)) == len(cells_of(model)) == len(now) + len(averages)


def cells_of(model):
    return [module for module in model.modules() if isinstance(module, ChoiceCell)]


@every
def test_averages_start_equal_to_what_they_follow(framework):
    model = MODELS.build(config(framework))
    model.init_weights()
    for average, online in model.momentum_pairs():
        state = online.state_dict()
        assert state.keys() == average.module.state_dict().keys()
        assert all(torch.equal(v, state[k]) for k, v in average.module.state_dict().items())
        own = {p.data_ptr() for p in average.parameters()}
        assert own and not own & {p.data_ptr() for p in online.parameters()}
        assert not any(p.requires_grad for p in average.parameters())


@every
def test_the_parts_to_compile_are_there_and_hold_every_head(framework):
    model = build(framework)
    parts = [model.get_submodule(name) for name in model.compilable]
    inside = {id(module) for part in parts for module in part.modules()}
    assert all(id(cell) in inside for cell in cells_of(model))
    assert id(model.embedding) in inside


@every
def test_a_checkpoint_of_version_0_1_is_taken_up(framework):
    model = build(framework)
    paths = {id(module): path for path, module in model.named_modules()}
    old = {k: v for k, v in model.state_dict().items() if not k.startswith('architecture.')}
    for name, head in model.searched_heads().items():
        old[f'{paths[id(head)]}.cell.alpha'] = model.architecture.alpha(name).clone()
    assert 'neck.cell.alpha' in old
    other = build(framework, seed=1)
    other.load_state_dict(old, strict=True)
    state = other.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    # Within a wrapper too.
    wrapped = nn.ModuleDict({'module': build(framework, seed=2)})
    wrapped.load_state_dict({f'module.{name}': value for name, value in old.items()})
    assert equal(mixing(wrapped), mixing(model))


@every
def test_a_framework_names_itself_and_its_heads(framework):
    model = build(framework)
    assert type(model).__name__ == framework.algorithm
    assert set(framework.standard) <= set(model.searched_heads())
    assert register_framework(framework) is None
    with pytest.raises(ValueError, match=f'{framework.name!r} is {framework.algorithm} already'):
        register_framework(Framework(framework.name, 'Another', framework.example))
