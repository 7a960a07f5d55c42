# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""SwAV's loss, assignments, prototypes and queue, recomputed by hand.

1. Loss and gradients are those of the paper, written out in float64, with a queue and without, of
   views of several sizes; they are mmpretrain's where that is right.
2. Assignments have the marginals of Sinkhorn-Knopp, whatever the scores.
3. Prototypes have unit norm; the queue holds the newest embeddings and counts once it is full.
4. The alpha step sees both and moves neither.
5. Where all prototypes, or all embeddings, are one, the loss is ln K, and the guard says so.
"""

import copy
import math

import pytest
import torch
from mmpretrain.models import SwAVLoss as StockSwAVLoss
from mmpretrain.models import SwAVNeck as StockSwAVNeck
from torch import nn

from nasiam_mm.architecture.genotype import Decision, Genotype, save_genotype
from nasiam_mm.engine.hooks.collapse_hook import CollapseHook
from nasiam_mm.models.algorithms.swav import SwAVNeck
from nasiam_mm.models.prototypes import SwAVLoss, sinkhorn
from nasiam_mm.search.gradient.gradients import alpha_gradients
from tests.small import SPACE, build, leave_hooks, search, tensors, train
from tests.test_models.test_algorithms.toys import unit

N, D, K = 6, 8, 12


def loss_of(**settings):
    torch.manual_seed(0)
    return SwAVLoss(**{**dict(feat_dim=D, num_prototypes=K), **settings}).double()


def plain_sinkhorn(scores, epsilon, iterations):
    """Q of the paper, (B, K) for scores (B, K), its rows of sum 1 (SwAV, section 3.1)."""
    q = torch.exp(scores / epsilon).T
    q = q / q.sum()
    for _ in range(iterations):
        q = q / q.sum(1, keepdim=True) / q.shape[0]
        q = q / q.sum(0, keepdim=True) / q.shape[1]
    return (q * q.shape[1]).T


def paper(z, prototypes, views, held=(None, None), tau=0.1, epsilon=0.05, iterations=3):
    """Mean of l(z_t, q_s) over s in the two first views and t in all others (eq. 1, 2, 6)."""
    z, prototypes = unit(z).view(views, -1, z.shape[1]), unit(prototypes)
    terms = []
    for s, rows in enumerate(held):
        with torch.no_grad():
            both = z[s] if rows is None else torch.cat((rows, z[s]))
            q = plain_sinkhorn(both @ prototypes.T, epsilon, iterations)[-z.shape[1] :]
        for t in range(views):
            if t != s:
                p = torch.exp(z[t] @ prototypes.T / tau)
                p = p / p.sum(1, keepdim=True)
                terms.append(-(q * p.log()).sum(1).mean())
    return sum(terms) / len(terms)


@pytest.mark.parametrize('views', [2, 6])
@pytest.mark.parametrize(
    ('settings', 'count'),
    [
        ({}, N),
        (dict(temperature=0.3, epsilon=0.03), N),
        (dict(feat_dim=3, num_prototypes=5, sinkhorn_iterations=1), 1),
        (dict(feat_dim=20, num_prototypes=2), 9),
    ],
)
@pytest.mark.parametrize('update_state', [True, False])
def test_loss_and_gradients_are_those_of_the_paper(views, settings, count, update_state):
    loss = loss_of(**settings)
    # Off unit norm, as an optimizer leaves them.
    width = loss.prototypes.in_features
    loss.prototypes.weight.data *= 1 + torch.rand(loss.prototypes.out_features, 1)
    z = torch.randn(views * count, width).double().requires_grad_()
    weight = loss.prototypes.weight.detach().clone().requires_grad_()
    names = dict(tau='temperature', epsilon='epsilon', iterations='sinkhorn_iterations')
    given = {name: settings[key] for name, key in names.items() if key in settings}
    expected = paper(z, weight, views, **given)
    dz, dw = torch.autograd.grad(expected, (z, weight))
    found = loss(z, views, update_state)
    torch.testing.assert_close(found, expected)
    ours, of_prototypes = torch.autograd.grad(found, (z, loss.prototypes.weight))
    torch.testing.assert_close(ours, dz)
    assert dz.abs().max() > 1e-4
    if update_state:  # of the prototypes of unit norm, as they now are
        radial = unit(weight) * (of_prototypes * unit(weight)).sum(1, keepdim=True)
        of_prototypes, dw = of_prototypes - radial, dw * weight.norm(dim=1, keepdim=True)
    torch.testing.assert_close(of_prototypes, dw)


@pytest.mark.parametrize('views', [2, 8])
def test_the_loss_is_mmpretrains_where_nothing_is_left_without_a_share(views):
    ours = loss_of()
    stock = StockSwAVLoss(D, num_crops=[2, views - 2], num_prototypes=K).double()
    stock.load_state_dict(ours.state_dict())
    stock.prototypes.weight.data *= 2
    ours.prototypes.weight.data *= 2
    z = unit(torch.randn(views * N, D).double())
    losses = ours(z, views), stock(z)
    torch.testing.assert_close(*losses)
    gradients = [
        torch.autograd.grad(loss, module.prototypes.weight)[0]
        for loss, module in zip(losses, (ours, stock), strict=True)
    ]
    torch.testing.assert_close(*gradients)


def test_assignments_have_the_marginals_of_a_transport():
    scores, mass = torch.rand(40, K).double() * 2 - 1, torch.zeros(40).double()
    unevenness = []
    for iterations in (1, 3, 10, 200):
        q = sinkhorn(scores, 0.05, iterations, mass)
        assert (q >= 0).all()
        torch.testing.assert_close(q.sum(1), torch.ones(40).double())
        unevenness.append((q.sum(0) - 40 / K).abs().max().item())
        torch.testing.assert_close(q, plain_sinkhorn(scores, 0.05, iterations))
    assert unevenness == sorted(unevenness, reverse=True) and unevenness[-1] < 1e-6


@pytest.mark.parametrize('score', [-1.0, 0.0, 0.7])
def test_equal_scores_are_spread_evenly(score):
    q = sinkhorn(torch.full((5, K), score), 0.05, 3, torch.zeros(5))
    torch.testing.assert_close(q, torch.full((5, K), 1 / K))


def test_no_scores_overflow_and_no_prototype_is_without_a_share():
    scores = torch.full((24, K), -1.0)
    scores[:, 0] = 1.0  # all on one prototype, exp(2000) times as near as the others
    scores += 1e-3 * torch.rand(24, K)
    q = sinkhorn(scores, 1e-3, 50, torch.zeros(24))
    assert q.isfinite().all()
    torch.testing.assert_close(q.sum(0), torch.full((K,), 2.0), atol=1e-2, rtol=0)


def test_a_row_of_no_mass_decides_nothing():
    scores = torch.randn(9, K).double()
    mass = torch.zeros(9).double()
    mass[6:] = -torch.inf
    torch.testing.assert_close(
        sinkhorn(scores, 0.5, 3, mass)[:6], sinkhorn(scores[:6], 0.5, 3, mass[:6])
    )


def test_the_loss_begins_about_ln_k():
    torch.manual_seed(0)
    loss = SwAVLoss(feat_dim=128, num_prototypes=300)
    found = [loss(torch.randn(8 * 256, 128), 8).item() for _ in range(3)]
    # A Gaussian of deviation 1 / sqrt(128) / T adds half its variance, 0.39.
    assert found == pytest.approx([math.log(300) + 0.39] * 3, abs=0.05)


def test_prototypes_have_unit_norm_after_every_weight_step():
    model = build('swav')
    prototypes = model.head.loss_module.prototypes
    start = torch.ones(24)
    torch.testing.assert_close(prototypes.weight.norm(dim=1), start)
    for _ in range(3):
        prototypes.weight.data += torch.randn_like(prototypes.weight)
        model.loss([torch.randn(4, 3, 16, 16) for _ in range(2)], None)
        torch.testing.assert_close(prototypes.weight.norm(dim=1), start)


@pytest.mark.parametrize('length', [5, 9, 16])
def test_the_queue_holds_the_newest_and_counts_once_it_is_full(length):
    loss, views = loss_of(queue_len=length), 4
    slots, entered = [[None] * length, [None] * length], 0
    for _ in range(5):
        z = torch.randn(views * N, D).double()
        is_full = entered >= length
        held = [torch.stack(rows) if is_full else None for rows in slots]
        torch.testing.assert_close(
            loss(z, views), paper(z, loss.prototypes.weight.detach(), views, held)
        )
        for place, rows in enumerate(slots):
            for n, row in enumerate(unit(z).view(views, N, D)[place]):
                rows[(entered + n) % length] = row
        entered += N
        expected = [[torch.zeros(D) if r is None else r.float() for r in rows] for rows in slots]
        expected = torch.stack([torch.stack(rows) for rows in expected])
        torch.testing.assert_close(loss.queue.float(), expected)
    assert int(loss.queued) == entered > length


def test_a_queue_that_is_not_used_is_neither_filled_nor_looked_at():
    loss, plain = loss_of(queue_len=6), loss_of()
    loss.queue.normal_()
    loss.queued += 6
    loss.use_queue, before = False, loss.queue.clone()
    z = torch.randn(2 * N, D).double()
    assert torch.equal(loss(z, 2), plain(z, 2))
    assert torch.equal(loss.queue, before) and loss.queued == 6
    loss.use_queue = True
    assert not torch.allclose(loss(z, 2), plain(z, 2))


def test_the_alpha_step_sees_queue_and_prototypes_and_moves_neither():
    model = build('swav')
    data = [torch.randn(8, 3, 16, 16)] * 2 + [torch.randn(8, 3, 8, 8) for _ in range(3)]
    model.loss(data, None)
    loss = model.head.loss_module
    loss.prototypes.weight.data *= 1.5
    before = tensors(model)
    value, _ = alpha_gradients(
        model, dict(inputs=data, data_samples=None), model.architecture.alphas()
    )
    assert all(torch.equal(tensor, before[name]) for name, tensor in tensors(model).items())
    twin = copy.deepcopy(model)
    torch.testing.assert_close(twin.loss(data, None)['loss'].detach(), value)
    twin = copy.deepcopy(model)
    twin.head.loss_module.queue.neg_()
    assert not torch.allclose(twin.loss(data, None)['loss'], value)


def test_views_of_one_size_are_one_batch_to_the_backbone_and_all_are_one_to_the_head():
    model, seen = build('swav'), []
    model.backbone.register_forward_hook(lambda _, args, out: seen.append(args[0].shape))
    model.neck.register_forward_hook(lambda _, args, out: seen.append(out[0].shape))
    sides = [16, 16, 8, 8, 8]
    model.loss([torch.randn(4, 3, side, side) for side in sides], None)['loss'].backward()
    assert seen == [(8, 3, 16, 16), (12, 3, 8, 8), (20, 32)]
    assert all(p.grad is not None for p in model.backbone.parameters() if p.requires_grad)


def test_the_neck_is_mmpretrains_and_takes_tuples():
    settings = dict(in_channels=16, hid_channels=24, out_channels=8, norm_cfg=dict(type='BN1d'))
    ours, stock = SwAVNeck(**settings), StockSwAVNeck(**settings)
    state = {n: w for n, w in stock.state_dict().items() if not n.startswith('norm.')}
    ours.load_state_dict(state)
    x = torch.randn(6, 16, 3, 3)
    (found,) = ours((torch.zeros(1), x))
    assert torch.equal(found, stock([(x,)]))
    ours.with_avg_pool = False
    torch.testing.assert_close(ours((x.mean((2, 3)),))[0], found)


def test_temperature_and_width_may_be_decided(tmp_path):
    told = {'projector.depth': 2, 'projector.out_channels': 48, 'temperature': 0.5}
    decisions = {name: Decision((option,), (option,)) for name, option in told.items()}
    save_genotype(Genotype('SwAV', decisions), tmp_path / 'g.json')
    model = build('swav', genotype=str(tmp_path / 'g.json'))
    loss = model.head.loss_module
    assert loss.temperature == 0.5 and model.coupled == {'temperature': 0.5}
    assert loss.prototypes.weight.shape == (24, 48) and loss.queue.shape == (2, 8, 48)


@pytest.mark.parametrize('which', ['prototypes', 'embeddings'])
def test_all_on_one_is_ln_k_and_teaches_nothing(which):
    loss = loss_of()
    z = torch.randn(4 * N, D).double()
    if which == 'prototypes':
        loss.prototypes.weight.data[:] = loss.prototypes.weight[0].clone()
    else:
        z[:] = z[0].clone()
    z.requires_grad_()
    value = loss(z, 4)
    (gradient,) = torch.autograd.grad(value, z)
    if which == 'prototypes':
        assert value.item() == pytest.approx(math.log(K)) and gradient.abs().max() < 1e-12
    else:  # every image has the same share of each: no less than ln K
        assert value.item() >= math.log(K)


class Spoil(CollapseHook):
    """Makes prototypes, or the embeddings, one before each step."""

    def __init__(self, which, **kwargs):
        super().__init__(**kwargs)
        self.which = which

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        super().before_train_iter(runner, batch_idx, data_batch)
        with torch.no_grad():
            if self.which == 'prototypes':
                weight = runner.model.head.loss_module.prototypes.weight
                weight.copy_(weight[:1].expand_as(weight))
            if self.which == 'embeddings':
                nn.init.zeros_(runner.model.neck.output[0].weight)
                nn.init.ones_(runner.model.neck.output[0].bias)


@pytest.mark.parametrize(
    ('which', 'measure'),
    [('prototypes', 'prototypes_std'), ('embeddings', 'std'), ('nothing', None)],
)
def test_the_guard_catches_either(which, measure, tmp_path):
    cfg = search('swav', tmp_path, space=SPACE)
    leave_hooks(cfg)
    runner = train(cfg, Spoil(which, interval=1, patience=2, action='stop'))
    (log,) = tmp_path.glob('*/*.log')
    lines = [line for line in log.read_text().splitlines() if 'embeddings collapsed' in line]
    assert len(lines) == (measure is not None)
    if measure is not None:
        assert f'iteration 2 (epoch 1): {measure} ' in lines[0]
    scalars = runner.message_hub.get_scalar('train/collapse/prototypes_std').data[0]
    assert (scalars[0] < 1e-3) == (which == 'prototypes')


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(num_prototypes=1), 'num_prototypes must be a whole number from 2'),
        (dict(queue_len=-1), 'queue_len must be a whole number from 0'),
        (dict(sinkhorn_iterations=0), 'sinkhorn_iterations must be a whole number from 1'),
        (dict(temperature=0), 'temperature must be a positive number'),
        (dict(epsilon=-0.1), 'epsilon must be a positive number'),
        (dict(epsilon='0.05'), "epsilon must be a positive number, got '0.05'"),
        (dict(temperature=math.inf), 'temperature must be a positive number, got inf'),
        (dict(crops_for_assign=[]), 'crops_for_assign must name views'),
        (dict(crops_for_assign=[0, 0]), 'crops_for_assign must name views'),
        (dict(crops_for_assign=[0.0, 1]), 'crops_for_assign must name views'),
        (dict(crops_for_assign=1), 'crops_for_assign must name views'),
        (dict(feat_dim=0), 'feat_dim must be a whole number from 1'),
    ],
)
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(ValueError, match=f'SwAVLoss.{message}') as refused:
        loss_of(**settings)
    assert '\n' not in str(refused.value)


def test_too_few_views_and_another_loss_are_refused():
    for crops, views in (([0, 1], 1), ([0], 1), ([2], 2)):
        with pytest.raises(ValueError, match=r'crops_for_assign .* takes more views than the'):
            loss_of(crops_for_assign=crops)(torch.randn(views * N, D).double(), views)
    with pytest.raises(ValueError, match=f'feat_dim is {D}, but z has 3 channels; set model.head'):
        loss_of()(torch.randn(2 * N, 3).double(), 2)
    with pytest.raises(ValueError, match='SwAV needs two images: a single one is assigned to all'):
        build('swav').loss([torch.randn(1, 3, 16, 16)] * 2, None)
    head = dict(type='SwAVHead', loss=dict(type='mmpretrain.SwAVLoss', feat_dim=32))
    with pytest.raises(ValueError, match=r"computes no mmpretrain.*; set model.head.loss.type='S"):
        build('swav', head=head)
