# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""SimSiam's variants against SimSiam where they coincide and against their formulas elsewhere."""

import copy

import pytest
import torch
from mmpretrain.models import LatentPredictHead, NonLinearNeck
from mmpretrain.structures import DataSample
from torch import nn
from torch.nn.functional import cosine_similarity, normalize

import benchmarks.papers.relation_models  # noqa: F401  registers what rows name
from benchmarks.papers.ablation_models import AblationHead, AblationMLP, SoftmaxSimilarityLoss
from benchmarks.papers.catalogue import find_table
from benchmarks.papers.planning import plan_table
from nasiam_mm.datasets import resolve_data
from nasiam_mm.registry import MODELS
from tests.reduced import MINI, ROOT

COSINE = dict(type='CosineSimilarityLoss')
PREDICTOR = dict(
    type='NonLinearNeck', in_channels=6, hid_channels=4, out_channels=6, with_avg_pool=False,
    with_last_bn=False, with_last_bias=True, norm_cfg=dict(type='BN1d'),
)  # fmt: skip


@MODELS.register_module(force=True)
class FlatBackbone(nn.Module):
    """One convolution and BatchNorm, enough to learn and to have statistics."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU())

    def forward(self, x):
        return (self.net(x),)


def build(kind='SimSiam', head=None, **more):
    torch.manual_seed(0)
    neck = dict(type='AblationMLP', in_channels=5, hid_channels=6, out_channels=6)
    head = head or dict(type='LatentPredictHead', loss=COSINE, predictor=PREDICTOR)
    cfg = dict(type=kind, backbone=dict(type='FlatBackbone'), neck=neck, head=head, **more)
    return MODELS.build(cfg).train()


def views(count=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(4, 3, 6, 6, generator=generator) for _ in range(count)]


def samples(*indices):
    return [DataSample(metainfo=dict(sample_idx=index)) for index in indices]


def project(model, view):
    return model.neck(model.backbone(view))[0]


def test_the_head_with_everything_is_the_stock_head():
    torch.manual_seed(0)
    stock = LatentPredictHead(COSINE, PREDICTOR)
    ours = AblationHead(COSINE, PREDICTOR)
    ours.load_state_dict(stock.state_dict())
    z, target = torch.randn(8, 6, requires_grad=True), torch.randn(8, 6, requires_grad=True)
    losses = [head.loss(z, target) for head in (stock, ours)]
    assert losses[0] == losses[1]
    gradients = [torch.autograd.grad(loss, (z, target), allow_unused=True) for loss in losses]
    assert torch.equal(gradients[0][0], gradients[1][0])
    assert gradients[0][1] is gradients[1][1] is None


def test_without_stop_gradient_the_target_learns_too():
    head = AblationHead(COSINE, None, stop_gradient=False)
    z, target = torch.randn(8, 6, requires_grad=True), torch.randn(8, 6, requires_grad=True)
    loss = head.loss(z, target)
    assert loss.item() == pytest.approx(-cosine_similarity(z, target).mean().item())
    (gradient,) = torch.autograd.grad(loss, target)
    z_hat, t_hat = normalize(z), normalize(target)
    cosine = (z_hat * t_hat).sum(1, keepdim=True)
    expected = -(z_hat - cosine * t_hat) / target.norm(dim=1, keepdim=True) / 8
    torch.testing.assert_close(gradient, expected.detach())


def test_a_fixed_predictor_lets_the_gradient_through_and_stays():
    head = AblationHead(COSINE, PREDICTOR, train_predictor=False)
    assert not any(parameter.requires_grad for parameter in head.parameters())
    z = torch.randn(8, 6, requires_grad=True)
    head.loss(z, torch.randn(8, 6)).backward()
    assert z.grad.abs().sum() > 0


def test_softmax_similarity_is_its_formula():
    p, z = torch.randn(7, 5), torch.randn(7, 5)
    expected = torch.stack(
        [-(z[n].exp() / z[n].exp().sum() * (p[n] - p[n].exp().sum().log())).sum() for n in range(7)]
    ).mean()
    torch.testing.assert_close(SoftmaxSimilarityLoss()(p, z), expected)
    # Least where p has the softmax of z.
    assert SoftmaxSimilarityLoss()(z + 3, z) < SoftmaxSimilarityLoss()(p, z)


@pytest.mark.parametrize(
    ('flags', 'norms'),
    [
        (dict(hidden_bn=False, output_bn=False), 0),
        (dict(hidden_bn=True, output_bn=False), 1),
        (dict(hidden_bn=True, output_bn=True), 2),
        (dict(hidden_bn=False, output_bn=True), 1),
    ],
)
def test_batchnorm_stands_where_asked(flags, norms):
    mlp = AblationMLP(5, 7, 6, with_avg_pool=False, **flags)
    assert sum(isinstance(m, nn.BatchNorm1d) for m in mlp.modules()) == norms
    linears = [m for m in mlp.modules() if isinstance(m, nn.Linear)]
    assert [m.bias is None for m in linears] == [flags['hidden_bn'], flags['output_bn']]
    assert mlp([torch.randn(3, 5)])[0].shape == (3, 6)


def test_the_default_placement_is_the_stock_projector():
    stock = NonLinearNeck(5, 7, 6, with_last_bn_affine=False, norm_cfg=dict(type='BN1d'))
    ours = AblationMLP(5, 7, 6, output_affine=False)
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in stock.parameters())
    for theirs, mine in zip(stock.parameters(), ours.parameters(), strict=True):
        mine.data.copy_(theirs.data)
    x = torch.randn(9, 5, 2, 2)
    torch.testing.assert_close(ours([x])[0], stock((x,))[0])


@pytest.mark.parametrize('count', [2, 4])
def test_the_asymmetric_loss_is_the_mean_over_pairs(count):
    model = build('AsymmetricSimSiam')
    inputs = views(count)
    reference = copy.deepcopy(model)
    expected = []
    for view, other in zip(inputs[::2], inputs[1::2], strict=True):
        p = reference.head.predictor([project(reference, view)])[0]
        expected.append(-cosine_similarity(p, project(reference, other).detach()).mean())
    loss = model.loss(inputs, None)['loss']
    torch.testing.assert_close(loss, sum(expected) / len(expected))
    loss.backward()
    (sum(expected) / len(expected)).backward()
    gradients = [[p.grad for p in m.parameters()] for m in (model, reference)]
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs)


def train(model, batches, lr=0.5):
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr)
    losses = []
    for inputs in batches:
        loss = model.loss(inputs, None)['loss']
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return losses


def test_one_step_per_target_is_simsiam():
    batches = [views(seed=seed) for seed in range(4)]
    simsiam, alternating = build(), build('AlternatingSimSiam', steps=1)
    assert train(simsiam, batches) == pytest.approx(train(alternating, batches), abs=1e-6)
    for name, value in simsiam.state_dict().items():
        torch.testing.assert_close(alternating.state_dict()[name], value)


def test_the_copy_makes_the_targets_that_the_paper_caches():
    batches = [views(seed=seed) for seed in range(5)]
    cached = build()
    optimizer = torch.optim.SGD(cached.parameters(), 0.5)
    expected = []
    for outer in (batches[:3], batches[3:]):
        # Section 5.2: all targets of the inner steps come from the encoder before them.
        frozen = copy.deepcopy(cached)
        with torch.no_grad():
            targets = [[project(frozen, view) for view in inputs] for inputs in outer]
        for inputs, (target1, target2) in zip(outer, targets, strict=True):
            z1, z2 = (project(cached, view) for view in inputs)
            loss = 0.5 * (cached.head.loss(z1, target2) + cached.head.loss(z2, target1))
            expected.append(loss.item())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert train(build('AlternatingSimSiam', steps=3), batches) == pytest.approx(expected, abs=1e-6)
    with pytest.raises(ValueError, match='at least 1, got 0'):
        build('AlternatingSimSiam', steps=0)


def test_moving_averages_by_hand():
    head = dict(type='AblationHead', loss=COSINE)
    model = build('MovingAverageSimSiam', head, num_samples=20, channels=6)
    first, again = views(seed=1), views(seed=2)

    def expected(inputs, old):
        z1, z2 = (project(model, view) for view in inputs)
        n1, n2 = normalize(z1).detach(), normalize(z2).detach()
        old = (n1 + n2) / 2 if old is None else old
        eta1, eta2 = 0.8 * old + 0.2 * n1, 0.8 * old + 0.2 * n2
        loss = -(cosine_similarity(z1, eta2) + cosine_similarity(z2, eta1)).mean() / 2
        return loss, (eta1 + eta2) / 2

    loss, old = expected(first, None)
    where = samples(3, 9, 17, 0)
    torch.testing.assert_close(model.loss(first, where)['loss'], loss)
    torch.testing.assert_close(model.average[[3, 9, 17, 0]], old)
    assert model.seen.nonzero().flatten().tolist() == [0, 3, 9, 17]
    # The same images in another order.
    loss, old = expected(again, old[[1, 0, 3, 2]])
    torch.testing.assert_close(model.loss(again, samples(9, 3, 0, 17))['loss'], loss)
    torch.testing.assert_close(model.average[[9, 3, 0, 17]], old)


def test_every_row_of_the_table_of_ablations_makes_a_step():
    plan = plan_table(find_table('simsiam-ablations', 'demo'), [0], ROOT)
    kinds = set()
    for name, runs in plan.items():
        cfg = runs[0].cfg
        cfg.data.root = MINI
        resolve_data(cfg)
        model = MODELS.build(cfg.model).train()
        model.init_weights()
        inputs = [torch.randn(2, 3, 8, 8) for _ in range(len(model.data_preprocessor.recipes))]
        loss = model.loss(inputs, samples(5, 7))['loss']
        loss.backward()
        assert loss.isfinite(), name
        assert model.backbone.conv1.weight.grad.abs().sum() > 0, name
        kinds.add((type(model).__name__, type(model.head).__name__, type(model.neck).__name__))
    assert len(plan) == 26
    related = {'SimCLR', 'RelatedSimCLR', 'SwAV'}
    assert len({kind[0] for kind in kinds} - related) == 4
    assert related <= {kind[0] for kind in kinds}
