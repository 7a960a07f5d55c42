# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims: every regularizer bends alpha's gradient by its own, in all frameworks, and no more.

What each computes is in the tests of its file; here they meet networks and a run.
"""

import pytest
import torch

from nasiam_mm.models.frameworks import FRAMEWORKS
from nasiam_mm.search.gradient.gradients import alpha_gradients, unrolled_alpha_gradients
from nasiam_mm.search.gradient.hook import AlphaStepHook
from nasiam_mm.search.gradient.regularizers import REGULARIZERS, Penalties
from tests.small import batch, build, search, tensors, train

GATES = dict(relaxation=dict(type='Sigmoid'))
TERMS = {
    'BetaDecay': dict(type='BetaDecay', weight=3.0),
    'ZeroOne': dict(type='ZeroOne'),
    'Entropy': dict(type='Entropy', weight=1.0),
    'ExpectedCost': dict(type='ExpectedCost', unit='macs', weight=2.0),
    'product': dict(type='ExpectedCost', form='multiply'),
    'VarianceHinge': dict(type='VarianceHinge', weight=5.0),
    'LogRank': dict(type='LogRank', weight=0.5),
}
every = pytest.mark.parametrize('framework', FRAMEWORKS.values(), ids=FRAMEWORKS)


def first_order(model, data, penalty):
    return alpha_gradients(model, data, model.architecture.alphas(), penalty=penalty)


def second_order(model, data, penalty):
    flipped = dict(data, inputs=[view.flip(0) for view in data['inputs']])
    alphas = model.architecture.alphas()
    return unrolled_alpha_gradients(
        model, data, flipped, alphas, lambda w, g: 0.05 * g, penalty=penalty
    )


@every
@pytest.mark.parametrize('gates', [False, True])
def test_a_step_with_each_moves_nothing_and_is_bent(framework, gates):
    model, data = build(framework, **(GATES if gates else {})), batch(8, 8)
    terms = {name: cfg for name, cfg in TERMS.items() if (name == 'ZeroOne') == gates}
    if framework.name in ('simsiam', 'byol'):
        terms.pop('product', None)  # of a loss that falls below 0
    before, state = tensors(model), torch.get_rng_state()
    plain_loss, plain = first_order(model, data, None)
    for name, cfg in terms.items():
        bent = step_with(model, data, [cfg], first_order, plain_loss)
        differs = [not torch.equal(a, b) for a, b in zip(bent, plain, strict=True)]
        # Terms of z do not reach a predictor behind it.
        assert all(differs) or (name in ('VarianceHinge', 'LogRank') and differs[0])
    plain_loss, plain = second_order(model, data, None)
    bent = step_with(model, data, list(terms.values()), second_order, plain_loss)
    assert not any(torch.equal(a, b) for a, b in zip(bent, plain, strict=True))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in tensors(model).items())
    assert all(p.grad is None and p.requires_grad for p in model.neck.parameters())
    assert not any(alpha.requires_grad for alpha in model.architecture.alphas())


def step_with(model, data, terms, order, plain_loss):
    """Gradients to alpha of a step with terms, which leave the loss that is told alone."""
    penalties = Penalties(terms)
    penalties.check(model, moves_alpha=True)
    loss, gradients = order(model, data, penalties.of(model, model.architecture, 0.5))
    assert torch.equal(loss, plain_loss)
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert list(penalties.values) == penalties.names
    return gradients


def test_each_is_among_them():
    # Another test may have registered those of an example.
    own = {k for k, v in REGULARIZERS.module_dict.items() if v.__module__.startswith('nasiam_mm.')}
    assert {cfg['type'] for cfg in TERMS.values()} == own


@pytest.mark.parametrize('name', ['VarianceHinge', 'LogRank', 'ExpectedCost', 'product'])
def test_the_gradient_through_a_network_is_that_of_finite_differences(name):
    model, data = build('simclr').double(), batch(8, 8, torch.double)
    penalties = Penalties([TERMS[name]])
    penalty = penalties.of(model, model.architecture, 0.5)
    (_, plain), (_, bent) = first_order(model, data, None), first_order(model, data, penalty)
    alpha, values = model.architecture.alpha('projector'), []
    for sign in (1, -1):
        alpha[1, 2] += sign * 1e-6
        first_order(model, data, penalty)
        values.append(penalties.values[TERMS[name]['type']].item())
        alpha[1, 2] -= sign * 1e-6
    expected = (values[0] - values[1]) / 2e-6
    assert (bent[0] - plain[0])[1, 2].item() == pytest.approx(expected, rel=1e-4, abs=1e-8)


def run(folder, regularizers):
    cfg = search('simclr', folder, batch_size=25)
    for loader in (cfg.train_dataloader, cfg.default_hooks.alpha_step.dataloader):
        loader.dataset.dataset.parts = dict(weights=0.1, alpha=0.1)
    cfg.default_hooks.alpha_step.regularizers = regularizers
    cfg.default_hooks.logger.interval = 1
    cfg.default_hooks.pop('genotype')
    return train(cfg)


def test_weight_0_is_the_plain_search_bit_for_bit(tmp_path):
    terms = [cfg for name, cfg in TERMS.items() if name != 'ZeroOne']
    # A weight of 0 leaves out each alike, ZeroOne too, which is for gates.
    runs = [
        run(tmp_path / 'plain', []),
        run(tmp_path / 'zero', [dict(cfg, weight=0) for cfg in terms]),
        run(tmp_path / 'bent', terms),
    ]
    plain, zero, bent = (r.model.state_dict() for r in runs)
    assert all(torch.equal(value, zero[name]) for name, value in plain.items())
    assert not any('alpha_Entropy' in name for name in runs[1].message_hub.log_scalars)
    alpha = 'architecture.alpha_projector'
    assert not torch.equal(bent[alpha], plain[alpha])
    told = runs[2].message_hub.log_scalars
    # Two of a kind are told apart.
    names = {*TERMS, 'ExpectedCost#2'} - {'ZeroOne', 'product'}
    hook = next(hook for hook in runs[2].hooks if isinstance(hook, AlphaStepHook))
    assert names == hook.penalties.values.keys()
    for name in names:
        assert told[f'train/alpha_{name}'].current() == hook.penalties.values[name].item()


@pytest.mark.parametrize(
    ('regularizer', 'changes', 'message'),
    [
        (dict(type='ZeroOne'), {}, 'ZeroOne is for gates, not for Softmax'),
        (dict(type='Entropy', weight=1.0), dict(relaxation=dict(type='UniformSampling')),
         'the regularizer Entropy moves nothing: alpha has no optimizer; take it away'),
    ],
)  # fmt: skip
def test_a_term_that_has_nothing_to_do_is_refused(regularizer, changes, message, tmp_path):
    cfg = search('simclr', tmp_path, **changes)
    cfg.default_hooks.alpha_step.regularizers = [regularizer]
    if changes:
        cfg.default_hooks.alpha_step.optimizer = None
    with pytest.raises(ValueError, match=message):
        train(cfg)
