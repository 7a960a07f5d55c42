# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The owner of alpha, and relaxations: the softmax, and a user's stochastic one."""

import json
import subprocess
import sys

import pytest
import torch
from torch import nn

from nasiam_mm.architecture.alpha import Architecture
from nasiam_mm.architecture.choice import op_choices
from nasiam_mm.architecture.relaxation import RELAXATIONS, Relaxation
from nasiam_mm.ops.candidates import SPACES, layer_shapes

SHAPES = {
    'projector': layer_shapes(6, [6, 4]),
    # Three candidates at the output: identity is the linear map that linear_bn_relu is.
    'predictor': layer_shapes(4, [4, 6], plain_output=True),
}


def architecture(relaxation=None):
    choices = {head: op_choices(head, SPACES['S'], shapes) for head, shapes in SHAPES.items()}
    return Architecture(choices, relaxation)


def drawn(relaxation=None):
    built = architecture(relaxation)
    torch.manual_seed(3)
    for alpha in built.alphas():
        alpha.copy_(torch.randn(alpha.shape))
    return built


def test_it_begins_with_uniform_weights_of_the_candidates():
    built = architecture()
    for head, shapes in SHAPES.items():
        assert built.alpha(head).shape == (len(shapes), 4) and not built.alpha(head).any()
    assert torch.equal(built.weights('projector'), torch.full((2, 4), 0.25))
    expected = torch.tensor([[1 / 4] * 4, [1 / 3, 1 / 3, 1 / 3, 0]])
    torch.testing.assert_close(built.weights('predictor'), expected)
    assert built.present('predictor').tolist() == [[True] * 4, [True, True, True, False]]


def test_weights_are_the_softmax_over_the_candidates():
    built = drawn()
    for head in SHAPES:
        for alpha, here, weights in zip(
            built.alpha(head), built.present(head), built.weights(head), strict=True
        ):
            terms = [a.exp() if h else torch.tensor(0.0) for a, h in zip(alpha, here, strict=True)]
            torch.testing.assert_close(weights, torch.stack(terms) / sum(terms))


def test_an_option_that_is_no_candidate_gets_no_gradient_whatever_its_alpha():
    built = drawn()
    alpha = built.alpha('predictor')
    before = built.weights('predictor').clone()
    alpha[1, 3] = 1e4
    torch.testing.assert_close(built.weights('predictor'), before)
    alpha.requires_grad_()
    (built.weights('predictor') * torch.randn(2, 4)).sum().backward()
    assert alpha.grad[1, 3] == 0 and (alpha.grad[1, :3] != 0).all()


def test_alpha_is_a_buffer_and_in_the_state_once():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.architecture = drawn()
            self.cell = nn.Linear(2, 2)

    model = Model()
    assert [name for name, _ in model.named_parameters()] == ['cell.weight', 'cell.bias']
    assert not any(alpha.requires_grad for alpha in model.architecture.alphas())
    assert [name for name in model.state_dict() if 'cell' not in name] == [
        'architecture.alpha_projector',
        'architecture.present_projector',
        'architecture.alpha_predictor',
        'architecture.present_predictor',
    ]
    other = architecture()
    other.load_state_dict(model.architecture.state_dict())
    assert all(map(torch.equal, other.alphas(), model.architecture.alphas()))


def test_another_space_does_not_load():
    choices = {'projector': op_choices('projector', SPACES["S'"], SHAPES['projector'])}
    with pytest.raises(RuntimeError, match='size mismatch for alpha_projector'):
        Architecture(choices).load_state_dict(architecture().state_dict())


def test_the_softmax_draws_nothing():
    built = drawn()
    state, weights = torch.get_rng_state(), built.weights('projector').clone()
    built.sample(0, 1, 'alpha')
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(built.weights('projector'), weights)
    assert not [name for name, _ in built.named_buffers() if 'noise' in name]


def test_unknown_relaxation():
    with pytest.raises(ValueError, match="there is no relaxation 'Sparsemax'; take one of "):
        architecture(dict(type='Sparsemax'))


# What a user writes for Gumbel-max: one candidate a layer, drawn by the softmax of alpha.
GUMBEL = """
import torch
from nasiam_mm.architecture.relaxation import RELAXATIONS, Relaxation

@RELAXATIONS.register_module()
class GumbelMax(Relaxation):
    is_stochastic = True

    def sample(self, noise, generator):
        noise.exponential_(generator=generator).log_().neg_()

    def weights(self, alpha, present, noise):
        soft = alpha.masked_fill(~present, float('-inf')).softmax(dim=1)
        best = (soft.log() + noise).argmax(dim=1, keepdim=True)
        hard = torch.zeros_like(soft).scatter_(1, best, 1.0)
        return hard + soft - soft.detach()
"""


@pytest.fixture
def gumbel():
    exec(GUMBEL, {'__name__': 'my_relaxation'})
    yield dict(type='GumbelMax')
    RELAXATIONS.module_dict.pop('GumbelMax')


def hard(built, head='predictor'):
    return built.weights(head).detach().argmax(dim=1).tolist()


def test_frequencies_of_a_stochastic_relaxation_are_the_softmax(gumbel):
    built, reference = drawn(gumbel), drawn()
    counts = {head: torch.zeros(len(shapes), 4) for head, shapes in SHAPES.items()}
    steps = 4000
    for step in range(steps):
        built.sample(seed=7, step=step, role='weights')
        for head, count in counts.items():
            weights = built.weights(head).detach()
            torch.testing.assert_close(weights.sum(dim=1), torch.ones(len(weights)))
            count += weights
    for head, count in counts.items():
        p = reference.weights(head)
        # Four and a half deviations of a binomial.
        assert ((count / steps - p).abs() <= 4.5 * (p * (1 - p) / steps).sqrt() + 1e-6).all()
        assert not count[~built.present(head)].any()


def test_one_step_is_one_draw_and_another_step_another(gumbel):
    built = drawn(gumbel)

    def draw(seed, step, role):
        built.sample(seed, step, role)
        noise = [built.get_buffer(f'noise_{head}').clone() for head in SHAPES]
        assert torch.equal(built.weights('predictor'), built.weights('predictor'))
        return torch.cat([row.flatten() for row in noise])

    keys = [(0, 5, 'alpha'), (0, 5, 'weights'), (0, 6, 'alpha'), (1, 5, 'alpha'), (0, 55, 'alpha')]
    draws = [draw(*key) for key in keys]
    assert len({tuple(noise.tolist()) for noise in draws}) == len(keys)
    assert torch.equal(draw(*keys[0]), draws[0])
    # Heads of equal shape draw apart.
    assert not torch.equal(draws[0][:8], draws[0][8:])


def test_a_draw_leaves_the_global_generator_and_the_state_alone(gumbel):
    built = drawn(gumbel)
    state, keys = torch.get_rng_state(), list(built.state_dict())
    built.sample(0, 1, 'alpha')
    assert torch.equal(torch.get_rng_state(), state)
    assert list(built.state_dict()) == keys and not any('noise' in key for key in keys)
    assert len({tuple(hard(built)) for s in range(20) if built.sample(0, s, 'alpha') is None}) > 1


def test_a_draw_is_the_same_in_any_process(gumbel):
    code = GUMBEL + (
        'import json\n'
        'from tests.test_architecture.test_alpha import drawn, SHAPES\n'
        "built = drawn(dict(type='GumbelMax'))\n"
        'torch.manual_seed(99); torch.rand(5)\n'
        "built.sample(11, 3, 'weights')\n"
        "print(json.dumps([built.get_buffer(f'noise_{head}').tolist() for head in SHAPES]))\n"
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    built = drawn(gumbel)
    built.sample(11, 3, 'weights')
    here = [built.get_buffer(f'noise_{head}').tolist() for head in SHAPES]
    assert json.loads(done.stdout.splitlines()[-1]) == here


def test_noise_follows_the_precision_of_the_model(gumbel):
    single, double = drawn(gumbel), drawn(gumbel).double()
    for built in (single, double):
        built.sample(0, 1, 'alpha')
    assert double.weights('projector').dtype == torch.float64
    assert hard(single) == hard(double)


def test_gradient_of_two_reads_adds(gumbel):
    built = drawn(gumbel)
    built.sample(0, 1, 'alpha')
    alpha = built.alpha('projector').requires_grad_()
    factor = torch.randn(2, 4)
    (built.weights('projector') * factor).sum().backward()
    once = alpha.grad.clone()
    alpha.grad = None
    sum((built.weights('projector') * factor).sum() for _ in range(2)).backward()
    torch.testing.assert_close(alpha.grad, 2 * once)
    assert once.any()


def test_a_relaxation_must_say_its_weights():
    with pytest.raises(NotImplementedError):
        Relaxation().weights(torch.zeros(1, 2), torch.ones(1, 2, dtype=torch.bool), None)
