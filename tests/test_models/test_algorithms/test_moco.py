# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""MoCo's loss, queue and key encoder, recomputed by hand, symmetric and not."""

import copy
import math

import pytest
import torch

from tests.test_models.test_algorithms.toys import DIM, build, disturb, unit, views

BATCH, LENGTH, TEMPERATURE, RATE = 4, 24, 0.1, 0.1


def keys_of(model, view):
    with torch.no_grad():
        return unit(model.encoder_k(view)[0])


def info_nce(model, query_view, key_view, queue):
    """Mean of -log(exp(q.k+ / T) / (exp(q.k+ / T) + sum_j exp(q.k_j / T))) (MoCo, eq. 1)."""
    queries = unit(model.neck(model.backbone(query_view))[0])
    keys = keys_of(model, key_view)
    total = 0.0
    for q, positive in zip(queries, keys, strict=True):
        top = math.exp(torch.dot(q, positive).item() / TEMPERATURE)
        rest = sum(math.exp(torch.dot(q, key).item() / TEMPERATURE) for key in queue.T)
        total -= math.log(top / (top + rest))
    return total / len(keys)


@pytest.mark.parametrize('symmetric', [False, True])
def test_loss_is_that_of_the_paper(symmetric):
    model, (view1, view2) = build('MoCo', symmetric=symmetric), views(BATCH)
    disturb(model)
    expected = info_nce(model, view1, view2, model.queue)
    if symmetric:
        expected += info_nce(model, view2, view1, model.queue)
    loss = model.loss([view1, view2], None, update_state=False)['loss']
    assert loss.item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize('symmetric', [False, True])
def test_gradient_reaches_queries_alone(symmetric):
    model, data = build('MoCo', symmetric=symmetric), views(BATCH)
    model.loss(data, None)['loss'].backward()
    assert all((p.grad is not None) == p.requires_grad for p in model.backbone.parameters())
    assert all(p.grad is None for p in model.encoder_k.parameters())
    assert not model.queue.requires_grad


@pytest.mark.parametrize(('symmetric', 'steps'), [(False, 8), (True, 5)])
def test_queue_holds_the_newest_keys_in_order_and_wraps_around(symmetric, steps):
    model = build('MoCo', symmetric=symmetric)
    torch.testing.assert_close(model.queue.norm(dim=0), torch.ones(LENGTH))
    slots = list(model.queue.T.clone())
    pointer = 0
    for _ in range(steps):
        data = views(BATCH)
        before = model.queue.clone()
        loss = model.loss(data, None)['loss']
        # The key encoder has moved already; BatchNorm uses the batch.
        entering = [keys_of(model, view) for view in (data if symmetric else data[1:])]
        for key in torch.cat(entering):
            slots[pointer] = key
            pointer = (pointer + 1) % LENGTH
        assert model.queue.shape == (DIM, LENGTH)
        torch.testing.assert_close(model.queue, torch.stack(slots, dim=1))
        assert model.queue_ptr.item() == pointer
        # The negatives are the keys of earlier steps.
        expected = info_nce(model, data[0], data[1], before)
        if symmetric:
            expected += info_nce(model, data[1], data[0], before)
        assert loss.item() == pytest.approx(expected, rel=1e-4)
        disturb(model)
    assert steps * BATCH * (1 + symmetric) > LENGTH


def test_key_encoder_starts_equal_and_follows_by_moving_average():
    model = build('MoCo')
    online = dict(model.momentum_pairs()[0][1].named_parameters())
    expected = {n: p.clone() for n, p in model.encoder_k.module.named_parameters()}
    assert set(online) == set(expected)
    assert all(torch.equal(p, online[n]) for n, p in expected.items())
    for step in range(4):
        model.loss(views(BATCH), None)
        expected = {n: (1 - RATE) * k + RATE * online[n].detach() for n, k in expected.items()}
        for name, weight in model.encoder_k.module.named_parameters():
            torch.testing.assert_close(weight, expected[name], atol=1e-6, rtol=1e-5)
        assert model.encoder_k.steps == step + 1
        disturb(model)


def test_a_single_process_draws_no_random_number():
    model, data = build('MoCo'), views(BATCH)
    twin, state = copy.deepcopy(model), torch.get_rng_state()
    loss = model.loss(data, None)['loss']
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(5)
    assert torch.equal(twin.loss(data, None)['loss'], loss)


@pytest.mark.parametrize(('symmetric', 'keys'), [(False, 5), (True, 10)])
def test_queue_that_is_no_whole_number_of_batches(symmetric, keys):
    model = build('MoCo', symmetric=symmetric)
    before = model.queue.clone()
    with pytest.raises(ValueError, match=f'queue_len 24 must be a multiple of the {keys} keys'):
        model.loss(views(5), None)
    assert torch.equal(model.queue, before) and model.encoder_k.steps == 0
