# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims: a look at a supernet moves nothing, and a derived head is the head that is derived."""

import random

import numpy as np
import pytest
import torch

from nasiam_mm.engine.running import get_rng_state
from nasiam_mm.models.frameworks import FRAMEWORKS
from nasiam_mm.search.gradient.gradients import alpha_gradients
from nasiam_mm.search.held_out import mean_weights, one_hot_weights
from nasiam_mm.search.selection import TopK, genotype_of
from tests.small import build, tensors
from tests.test_search.supernets import held_out_of, supernet

every = pytest.mark.parametrize('framework', FRAMEWORKS.values(), ids=FRAMEWORKS)


def in_place_of(model, k=1):
    """A model of what a supernet stands at, with its weights."""
    decisions = TopK(k).decide(model.architecture)
    genotype = genotype_of(decisions, TopK(k), type(model).__name__)
    derived = build(model_of(model), genotype=genotype).double()
    state, fresh = model.state_dict(), derived.state_dict()
    for name in fresh:
        source = name
        head, found, rest = name.partition('.cell.layers.')
        if found:
            layer, op, *last = rest.split('.')
            source = f'{head}.cell.layers.{layer}.ops.{op}' + ''.join(f'.{part}' for part in last)
        fresh[name] = state[source]
    derived.load_state_dict(fresh)
    return derived, decisions


def model_of(model):
    return next(f for f in FRAMEWORKS.values() if f.algorithm == type(model).__name__)


@every
@pytest.mark.parametrize('k', [1, 2])
def test_one_hot_weights_are_the_derived_head(framework, k):
    model = supernet(framework)
    derived, decisions = in_place_of(model, k)
    held_out = held_out_of(model)
    found = held_out.loss(one_hot_weights(model.architecture, decisions))
    [batch] = [next(iter(held_out.loader))]
    with torch.no_grad():
        data = model.data_preprocessor(batch, True)
        expected = derived.train().loss(data['inputs'], None, update_state=False)['loss']
    assert found == pytest.approx(expected.item(), rel=1e-6)  # told in float32
    assert found != pytest.approx(held_out.loss(mean_weights(model.architecture)), rel=1e-4)


@every
def test_a_look_moves_nothing(framework):
    model = supernet(framework)
    model.architecture.sample(0, 3, 'weights')
    model.architecture.identity_dropout = 0.5
    held_out, weights = held_out_of(model, batches=2), mean_weights(model.architecture)
    before, state = tensors(model), get_rng_state()
    running = model.architecture.running('projector')
    loss, embeddings = held_out.loss_and_embeddings(weights)
    held_out.loss(weights, auxiliary=0.0, without=('projector', 1))
    assert get_rng_state()['python'] == state['python']
    assert torch.equal(get_rng_state()['torch'], state['torch'])
    assert all(torch.equal(value, before[name]) for name, value in tensors(model).items())
    assert not torch.is_inference_mode_enabled() and torch.is_grad_enabled()
    owner = model.architecture
    assert (owner.auxiliary, owner.identity_dropout, owner._given) == (1.0, 0.5, None)
    assert owner.running('projector') == running
    assert not model.embedding._forward_hooks and not model.neck.cell.layers[1]._forward_hooks
    # Again, whatever was drawn in between.
    random.random(), np.random.rand(), torch.rand(3)
    assert held_out.loss(weights) == loss
    assert embeddings and all(z.shape[1] == 32 for z in embeddings)


def test_the_supernet_is_that_of_the_alpha_step():
    model = supernet('simclr')
    held_out = held_out_of(model)
    data = model.data_preprocessor(next(iter(held_out.loader)), True)
    loss, _ = alpha_gradients(model, data, model.architecture.alphas())
    found = held_out.loss(mean_weights(model.architecture))
    assert found == pytest.approx(loss.item(), rel=1e-6)


def test_batches_are_the_first_of_one_order():
    held_out = held_out_of(supernet('simclr'), batches=99)
    assert held_out.batches == 3
    weights = mean_weights(held_out.model.architecture)
    losses = []
    for batch in held_out.loader:
        with torch.no_grad():
            data = held_out.model.data_preprocessor(batch, True)
            losses.append(held_out.model.loss(data['inputs'], None, update_state=False)['loss'])
    assert len(losses) == 3
    mean = torch.stack(losses).mean().item()
    assert held_out.loss(weights) == pytest.approx(mean, rel=1e-6)


def test_what_was_drawn_and_what_stands_beside_are_left_out():
    """A search of one path with an auxiliary branch is looked at as a whole, and without."""
    model = supernet(
        'simclr',
        relaxation=dict(type='GumbelStraightThrough'),
        mixing=dict(type='SinglePath'),
        auxiliary=dict(type='AuxiliarySkip'),
    )
    owner = model.architecture
    owner.sample(0, 0, 'weights')
    assert all(len(row) == 1 for row in owner.running('projector'))
    held_out, weights = held_out_of(model), mean_weights(owner)
    beside, alone = held_out.loss(weights), held_out.loss(weights, auxiliary=0.0)
    owner.sample(0, 1, 'weights')
    assert held_out.loss(weights) == beside != alone
    plain = supernet('simclr')
    state = model.state_dict()
    plain.load_state_dict({name: state[name] for name in plain.state_dict()})
    plain_weights = mean_weights(plain.architecture)
    assert all(torch.equal(weights[head], plain_weights[head]) for head in weights)
    assert held_out_of(plain).loss(plain_weights) == alone
