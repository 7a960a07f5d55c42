# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Parts of a search together, as papers have them and as none has, in every framework.

1. The alpha step is exact: its gradient is that of the full graph bit for bit (C2).
2. It is pure: no statistic, average, queue or random number moves (C1).
3. A search of them resumes bit for bit, in the middle of an epoch.
4. Neutral settings are the plain search bit for bit.
"""

import copy

import pytest
import torch

from nasiam_mm.models.frameworks import FRAMEWORKS
from nasiam_mm.search.gradient.gradients import alpha_gradients
from nasiam_mm.search.gradient.regularizers import Penalties
from tests.small import batch, build, search, tensors, train

GUMBEL = dict(type='GumbelStraightThrough', temperature=2.0)
COMPOSITIONS = {
    'proxyless': dict(relaxation=dict(type='TwoPathGates'), mixing=dict(type='SinglePath')),
    'sigmoid beside a skip': dict(
        relaxation=dict(type='Sigmoid'), auxiliary=dict(type='AuxiliarySkip')
    ),
    'one path of a quarter beside a skip': dict(
        relaxation=GUMBEL,
        mixing=dict(type='PartialChannels', k=4, sampled_in=['alpha', 'weights']),
        auxiliary=dict(type='AuxiliarySkip'),
    ),
}
OWN = ['simsiam', 'simclr', 'mocov2', 'byol', 'swav']
composed = pytest.mark.parametrize('changes', COMPOSITIONS.values(), ids=COMPOSITIONS)
every = pytest.mark.parametrize('framework', OWN)


def sampled(framework, changes):
    model = build(FRAMEWORKS[framework], **changes)
    model.architecture.sample(seed=5, step=2, role='alpha')
    model.architecture.identity_dropout = 0.3
    return model


def beta_decay(model):
    return Penalties([dict(type='BetaDecay', weight=3.0)]).of(model, model.architecture, 0.5)


@composed
@every
def test_gradients_equal_those_of_the_full_graph_bit_for_bit(framework, changes):
    model, data = sampled(framework, changes), batch()
    twin = copy.deepcopy(model)
    penalty = beta_decay(model)
    _, gradients = alpha_gradients(model, data, model.architecture.alphas(), penalty=penalty)
    twin.architecture.sample(seed=5, step=2, role='alpha')
    alphas = twin.architecture.alphas()
    for alpha in alphas:
        alpha.requires_grad_(True)
    loss = twin.loss(data['inputs'], None, update_state=False)['loss']
    (loss + beta_decay(twin)(loss, [])).backward()
    for gradient, alpha in zip(gradients, alphas, strict=True):
        assert gradient.abs().sum() > 0 and torch.equal(gradient, alpha.grad)


@composed
@every
def test_the_alpha_step_moves_nothing(framework, changes):
    model, data = sampled(framework, changes), batch()
    model.loss(batch()['inputs'], None)
    before, state = tensors(model), torch.get_rng_state()
    alpha_gradients(model, data, model.architecture.alphas(), penalty=beta_decay(model))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in tensors(model).items())
    assert all(p.grad is None for p in model.parameters())


def composed_search(folder, framework, changes, **more):
    cfg = search(framework, folder, epochs=2, batch_size=64, **changes)
    steps = [dict(type='AlphaWarmup', share=0.2), dict(type='IdentityDropout', rates=[0.3])]
    steps += [dict(type='AuxiliaryDecay')] if 'auxiliary' in changes else []
    cfg.default_hooks.alpha_step.update(
        schedules=steps, regularizers=[dict(type='BetaDecay', weight=3.0)]
    )
    cfg.default_hooks.checkpoint.update(interval=1, by_epoch=False, max_keep_ckpts=-1)
    cfg.update(more)
    return train(cfg)


@pytest.mark.parametrize(
    ('framework', 'name'),
    [('byol', 'one path of a quarter beside a skip'), ('mocov2', 'proxyless')],
)
def test_a_search_of_them_resumes_bit_for_bit(framework, name, tmp_path):
    changes = COMPOSITIONS[name]
    whole = composed_search(tmp_path / 'whole', framework, changes)
    middle = whole.max_iters // 2 + 1
    rest = composed_search(
        tmp_path / 'rest',
        framework,
        changes,
        resume=True,
        load_from=str(tmp_path / f'whole/iter_{middle}.pth'),
    )
    state = tensors(rest.model)
    for name, value in tensors(whole.model).items():
        if 'noise' not in name:
            assert torch.equal(value, state[name]), name


def test_neutral_settings_are_the_plain_search_bit_for_bit(tmp_path):
    plain = search('simclr', tmp_path / 'plain', batch_size=64)
    neutral = search(
        'simclr',
        tmp_path / 'neutral',
        batch_size=64,
        relaxation=dict(type='Softmax', temperature=1.0),
        mixing=dict(type='PartialChannels', k=1),
        auxiliary=dict(type='AuxiliarySkip'),
    )
    neutral.default_hooks.alpha_step.update(
        regularizers=[dict(type='BetaDecay', weight=0.0)],
        schedules=[
            dict(type='AlphaWarmup', share=0.0),
            dict(type='Temperature', start=1.0, end=1.0),
            dict(type='AlphaLearningRate', start=1.0, end=1.0),
            dict(type='IdentityDropout', rates=[0.0]),
            dict(type='AuxiliaryDecay', start=0.0, end=0.0),
        ],
    )
    states = [tensors(train(cfg).model) for cfg in (plain, neutral)]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
