# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""SimCLR and SwAV with parts of SimSiam, against their formulas written out in float64.

1. Without the parts they are the frameworks' own losses.
2. A predictor and a stop-gradient are where SimSiam, section 6.2, has them.
3. Without a stop-gradient assignments have the gradient of Sinkhorn's iterations.
"""

import pytest
import torch
from torch import nn

import benchmarks.papers.ablation_models  # noqa: F401  registers AblationMLP
from benchmarks.papers.relation_models import RelatedSwAVLoss
from nasiam_mm.models.prototypes import SwAVLoss
from nasiam_mm.registry import MODELS
from tests.test_models.test_algorithms.test_swav import plain_sinkhorn
from tests.test_models.test_algorithms.toys import DIM, unit, views

TEMPERATURE = 0.5
PREDICTOR = dict(
    type='AblationMLP', in_channels=DIM, hid_channels=3, out_channels=DIM, output_bn=False,
    with_avg_pool=False,
)  # fmt: skip
N, D, K = 5, DIM, 7


def simclr(**changes):
    head = dict(type='ContrastiveHead', loss=dict(type='CrossEntropyLoss'), temperature=TEMPERATURE)
    neck = dict(type='AblationMLP', in_channels=8, hid_channels=9, out_channels=DIM)
    cfg = dict(type='RelatedSimCLR', backbone=dict(type='ToyBackbone'), neck=neck, head=head)
    return MODELS.build({**cfg, 'predictor': PREDICTOR, **changes}).double().train()


def nt_xent(first, second):
    """-log of an image's other view among all others, over both (SimCLR, eq. 1)."""
    z, total = torch.cat([unit(first), unit(second)]), 0
    count = len(first)
    for i in range(2 * count):
        others = [k for k in range(2 * count) if k != i]
        similarity = (z[others] @ z[i] / TEMPERATURE).exp().sum()
        total = (
            total - ((z[(i + count) % (2 * count)] @ z[i] / TEMPERATURE).exp() / similarity).log()
        )
    return total / (2 * count)


def written_out(model, data, stop_gradient):
    z = model.neck(model.backbone(torch.cat(data)))[0]
    p = model.predictor([z])[0]
    (z1, z2), (p1, p2) = z.chunk(2), p.chunk(2)
    if stop_gradient:
        z1, z2 = z1.detach(), z2.detach()
    return (nt_xent(p1, z2) + nt_xent(p2, z1)) / 2


@pytest.mark.parametrize('stop_gradient', [False, True])
def test_predictions_of_one_view_are_contrasted_with_projections_of_the_other(stop_gradient):
    model, data = simclr(stop_gradient=stop_gradient), [view.double() for view in views(N)]
    loss, expected = model.loss(data, None)['loss'], written_out(model, data, stop_gradient)
    torch.testing.assert_close(loss, expected)
    weights = list(model.parameters())
    ours, theirs = (torch.autograd.grad(x, weights) for x in (loss, expected))
    torch.testing.assert_close(ours, theirs)
    other = torch.autograd.grad(written_out(model, data, not stop_gradient), weights)
    assert not torch.allclose(ours[0], other[0])


def test_an_identity_for_a_predictor_is_simclr():
    model, data = simclr(), [view.double() for view in views(N)]
    model.predictor = nn.Identity()
    model.predictor.forward = lambda x: (x[0],)
    z1, z2 = model.neck(model.backbone(torch.cat(data)))[0].chunk(2)
    torch.testing.assert_close(model.loss(data, None)['loss'], nt_xent(z1, z2))


def swav(**changes):
    torch.manual_seed(0)
    return RelatedSwAVLoss(feat_dim=D, num_prototypes=K, **changes).double().train()


def swapped(loss, z, count, stop_gradient=True, predict=lambda z: z):
    """Mean of l(p_t, q_s), prototypes of unit norm within the gradient."""
    weight = unit(loss.prototypes.weight)
    scores = (unit(z) @ weight.T).view(count, -1, K)
    predicted = (unit(predict(z)) @ weight.T / 0.1).view(count, -1, K)
    terms = []
    for s in (0, 1):
        q = plain_sinkhorn(scores[s], 0.05, 3)
        q = q.detach() if stop_gradient else q
        for t in range(count):
            if t != s:
                p = predicted[t].exp() / predicted[t].exp().sum(1, keepdim=True)
                terms.append(-(q * p.log()).sum(1).mean())
    return sum(terms) / len(terms)


@pytest.mark.parametrize('count', [2, 4])
@pytest.mark.parametrize('stop_gradient', [True, False])
def test_swav_s_loss_and_gradients(count, stop_gradient):
    loss = swav(stop_gradient=stop_gradient)
    loss.prototypes.weight.data *= 1 + torch.rand(K, 1)
    z = torch.randn(count * N, D).double().requires_grad_()
    at = z, loss.prototypes.weight
    found, expected = loss(z, count), swapped(loss, z, count, stop_gradient)
    torch.testing.assert_close(found, expected)
    ours = torch.autograd.grad(found, at)
    torch.testing.assert_close(ours, torch.autograd.grad(expected, at))
    other = torch.autograd.grad(swapped(loss, z, count, not stop_gradient), at)
    assert not torch.allclose(ours[0], other[0])


def test_swav_s_predictor_is_on_the_side_that_is_compared_with_an_assignment():
    loss = swav(predictor=PREDICTOR)
    z = torch.randn(2 * N, D).double().requires_grad_()
    found = loss(z, 2)
    expected = swapped(loss, z, 2, predict=lambda z: loss.predictor([z])[0])
    torch.testing.assert_close(found, expected)
    at = z, *loss.parameters()
    torch.testing.assert_close(torch.autograd.grad(found, at), torch.autograd.grad(expected, at))


def test_without_its_parts_it_is_swav_and_it_has_no_queue():
    ours, stock = swav(), SwAVLoss(feat_dim=D, num_prototypes=K).double()
    stock.load_state_dict(ours.state_dict())
    z = torch.randn(3 * N, D).double()
    torch.testing.assert_close(ours(z, 3), stock(z, 3))
    with pytest.raises(ValueError, match='RelatedSwAVLoss has no queue; set model.head.loss.queue'):
        swav(queue_len=8)
