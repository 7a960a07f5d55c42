# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""MoCo v3's loss and keys are those of the paper, its schedule counts weight steps alone."""

import copy
from math import cos, exp, log, pi

import pytest
import torch
from mmengine.logging import MessageHub
from torch import nn

from nasiam_mm.models import MoCoV3Head
from nasiam_mm.search.gradient.gradients import alpha_gradients
from tests.small import search, train
from tests.test_models.test_algorithms.toys import build, disturb, unit, views

STEPS = 7
MOMENTUM = 0.9  # mmengine's is 1 - m
TEMPERATURE = 0.2


@pytest.fixture(autouse=True)
def run_of_seven_steps():
    MessageHub._instance_dict.clear()
    MessageHub.get_current_instance().update_info('max_iters', STEPS)
    yield
    MessageHub._instance_dict.clear()


def ctr(queries, keys):
    """2T times the mean of -log(exp(q.k+ / T) / sum_k exp(q.k / T)) (MoCo v3, algorithm 1)."""
    queries, keys, total = unit(queries), unit(keys), 0
    for i, query in enumerate(queries):
        similarities = torch.stack([query @ key for key in keys]) / TEMPERATURE
        total = total - (similarities[i].exp() / similarities.exp().sum()).log()
    return 2 * TEMPERATURE * total / len(queries)


def paper(model, view1, view2):
    """Loss of both ways: predictions of one view against momentum keys of the other."""
    total = 0
    for online_view, key_view in ((view1, view2), (view2, view1)):
        q = model.head.predictor([model.neck(model.backbone(online_view))[0]])[0]
        total = total + ctr(q, model.momentum_encoder(key_view)[0].detach())
    return total


@pytest.mark.parametrize('count', [2, 5])
def test_loss_and_gradient_are_those_of_the_paper(count):
    model, data = build('MoCoV3').double(), [view.double() for view in views(count)]
    disturb(model)  # online network and momentum encoder apart from each other
    twin = copy.deepcopy(model)
    loss = model.loss(data, None, update_state=False)['loss']
    expected = paper(twin, *data)
    torch.testing.assert_close(loss, expected)
    weights, theirs = ([p for p in m.parameters() if p.requires_grad] for m in (model, twin))
    loss.backward(), expected.backward()
    for own, other in zip(weights, theirs, strict=True):
        assert (own.grad is None) == (other.grad is None)
        if own.grad is not None:
            torch.testing.assert_close(own.grad, other.grad, atol=1e-12, rtol=1e-8)
    assert all(p.grad is None for p in model.momentum_encoder.parameters())


def head(temperature=TEMPERATURE, **loss):
    """Return a head whose predictor passes z on."""
    predictor = dict(type='HeadMLP', name='predictor', in_channels=6, hidden_channels=6, depth=2)
    predictor.update(space=['identity'], with_avg_pool=False)
    built = MoCoV3Head(predictor, dict(type='CrossEntropyLoss', **loss), temperature)
    built.predictor = nn.Identity()
    return built


@pytest.mark.parametrize('temperature', [0.2, 1.0])
def test_closed_forms(temperature):
    loss = head(temperature).loss
    apart, alike = torch.eye(6) * 3, torch.ones(6, 6)
    best = 2 * temperature * log(1 + 5 * exp(-1 / temperature))
    assert loss(apart, apart * 2).item() == pytest.approx(best, rel=1e-5)
    collapsed = 2 * temperature * log(6)
    assert loss(alike, alike).item() == pytest.approx(collapsed, rel=1e-5)
    wrong = 2 * temperature * (1 / temperature + log(1 + 5 * exp(-1 / temperature)))
    assert loss(apart, apart.roll(1, 0)).item() == pytest.approx(wrong, rel=1e-5)
    assert best < collapsed < wrong


def test_a_factor_on_the_loss_is_not_taken_twice():
    with pytest.raises(ValueError, match='loss_weight is 0.4, but the head has the factor 2T alr'):
        head(loss_weight=0.4)


def test_a_single_image_has_no_negatives():
    with pytest.raises(ValueError, match='MoCo v3 needs two images'):
        head().loss(torch.ones(1, 6), torch.ones(1, 6))


def test_similarities_are_in_float32_under_autocast():
    z, key = torch.randn(8, 6), torch.randn(8, 6)
    expected = head().loss(z.bfloat16().float(), key.bfloat16().float())
    with torch.autocast('cpu', torch.bfloat16):
        found = head().loss(z.bfloat16(), key.bfloat16())
    assert found.dtype == torch.float32 and torch.equal(found, expected)


def test_the_momentum_goes_from_its_base_to_one_over_weight_steps():
    model = build('MoCoV3')
    alphas, online = model.architecture.alphas(), model.momentum_pairs()[0][1]
    assert not any('predictor' in name for name, _ in model.momentum_encoder.named_parameters())
    expected = {n: p.clone() for n, p in model.momentum_encoder.module.named_parameters()}
    for k in range(STEPS):
        for _ in range(2):
            alpha_gradients(model, dict(inputs=views(), data_samples=None), alphas)
        m = 1 - (1 - MOMENTUM) * (cos(pi * k / STEPS) + 1) / 2
        weights = dict(online.named_parameters())
        expected = {n: m * key + (1 - m) * weights[n].detach() for n, key in expected.items()}
        model.loss(views(), None)
        for name, key in model.momentum_encoder.module.named_parameters():
            torch.testing.assert_close(key, expected[name], atol=1e-6, rtol=1e-5)
        assert model.momentum_encoder.steps == k + 1
        disturb(model)
    # From the base at first to almost 1 in the last step.
    assert m == pytest.approx(1 - 0.1 * (cos(pi * 6 / 7) + 1) / 2) and m > 0.995


def test_keys_are_those_of_the_moved_encoder():
    model, data = build('MoCoV3'), views()
    model.loss(views(), None)
    disturb(model)
    twin = copy.deepcopy(model)
    loss = model.loss(data, None)['loss']
    assert not torch.allclose(paper(twin, *data), loss)
    twin.momentum_encoder.update_parameters(twin.momentum_pairs()[0][1])
    torch.testing.assert_close(loss, paper(twin, *data))


def test_the_guard_is_silent_where_nothing_collapses(tmp_path):
    cfg = search('mocov3', tmp_path, epochs=2, batch_size=32)
    cfg.default_hooks.collapse = dict(type='CollapseHook', interval=1, action='stop', patience=2)
    runner = train(cfg)
    assert 'embeddings collapsed' not in next(tmp_path.glob('*/*.log')).read_text()
    assert runner.epoch == 2 and not runner.train_loop.stop_training


def test_collapse_is_not_the_least_loss_and_the_guard_sees_it(tmp_path):
    cfg = search('mocov3', tmp_path, epochs=2, batch_size=32)
    cfg.default_hooks.collapse = dict(type='CollapseHook', interval=1, action='stop', patience=2)
    # Decay that takes all but a tenth of each weight in a step: features of one point.
    cfg.optim_wrapper.optimizer = dict(type='SGD', lr=1.0, weight_decay=0.9)
    cfg.param_scheduler = []
    runner = train(cfg)
    assert 'embeddings collapsed in iteration' in next(tmp_path.glob('*/*.log')).read_text()
    assert runner.train_loop.stop_training
    values, _ = runner.message_hub.get_scalar('train/loss').data
    # Queries of one point: at least 2T log N each way, by the convexity of log sum exp.
    assert values[-1] >= 4 * TEMPERATURE * log(32) - 1e-3 > 0
    assert not runner.model.is_least_in_collapse
