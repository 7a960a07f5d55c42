# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What a user adds in a file searches as what is shipped does, through the Runner.

1. A framework: alignment and uniformity. It keeps the contracts too
   (tests/test_models/test_contracts.py).
2. A relaxation: Gumbel-softmax. Its noise is a function of seed, step and role, so that a run goes
   on exactly, in the middle of an epoch.
"""

import pytest
import torch
from mmengine.hooks import Hook

from examples import align_uniform, gumbel_softmax  # noqa: F401
from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.search.gradient.hook import AlphaStepHook
from tests.small import build, search, train


def test_a_stranger_s_framework_is_searched(tmp_path):
    runner = train(search('alignuniform', tmp_path, batch_size=64))
    (hook,) = (hook for hook in runner.hooks if isinstance(hook, AlphaStepHook))
    assert hook.steps == runner.iter == 3
    final = load_genotype(tmp_path / 'genotype.json')
    assert final.framework == 'AlignUniform' and final.heads == ('projector',)
    alpha = runner.model.architecture.alpha('projector')
    assert all(
        list(decision.scores) == row.tolist()
        for decision, row in zip(final.of('projector'), alpha, strict=True)
    )
    assert all(row.abs().sum() > 0 for row in alpha)


class Noise(Hook):
    """Notes the noise of each alpha step and weight step, and what the weight step mixes with."""

    priority = 'LOWEST'

    def before_train(self, runner):
        self.drawn, architecture = [], runner.model.architecture
        honest = architecture.sample

        def sample(seed, step, role):
            honest(seed, step, role)
            self.drawn.append((step, role, architecture.noise_projector.clone()))

        architecture.sample = sample

    def after_train(self, runner):
        del runner.model.architecture.sample


def gumbel_search(framework, folder, **changes):
    relaxation = dict(type='GumbelSoftmax', temperature=0.5)
    cfg = search(framework, folder, epochs=2, batch_size=64, relaxation=relaxation)
    cfg.default_hooks.checkpoint.update(interval=4, by_epoch=False)
    cfg.update(changes)
    noise = Noise()
    return train(cfg, noise), noise.drawn


@pytest.mark.parametrize('framework', ['byol'])
def test_a_user_s_relaxation_is_searched_and_resumed_exactly(framework, tmp_path):
    whole, drawn = gumbel_search(framework, tmp_path / 'whole')
    assert [(step, role) for step, role, _ in drawn] == [
        (step, role) for step in range(6) for role in ('alpha', 'weights')
    ]
    assert len({noise.numpy().tobytes() for *_, noise in drawn}) == 12
    # Its temperature reached the cells; the noise is in no checkpoint.
    mixing = whole.model.architecture.relaxation
    assert (type(mixing).__name__, mixing.temperature) == ('GumbelSoftmax', 0.5)
    assert not any('noise' in name for name in whole.model.state_dict())
    checkpoint = str(tmp_path / 'whole/iter_4.pth')
    rest, again = gumbel_search(framework, tmp_path / 'rest', resume=True, load_from=checkpoint)
    assert [entry[:2] for entry in again] == [entry[:2] for entry in drawn[8:]]
    assert all(torch.equal(a[2], b[2]) for a, b in zip(again, drawn[8:], strict=True))
    state = rest.model.state_dict()
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, state[name]), name
    genotypes = [load_genotype(tmp_path / f'{run}/genotype.json') for run in ('whole', 'rest')]
    assert genotypes[0].decisions == genotypes[1].decisions
    assert (tmp_path / 'whole/alpha.json').read_text() == (tmp_path / 'rest/alpha.json').read_text()


def test_noise_is_a_function_of_seed_step_role_and_head():
    model = build('simsiam', relaxation=dict(type='GumbelSoftmax'))
    architecture, state = model.architecture, torch.get_rng_state()

    def noise(*key, head='projector'):
        architecture.sample(*key)
        return architecture.get_buffer(f'noise_{head}').clone()

    first = noise(0, 0, 'alpha')
    others = [noise(*key) for key in [(1, 0, 'alpha'), (0, 1, 'alpha'), (0, 0, 'weights')]]
    others.append(noise(0, 0, 'alpha', head='predictor')[:1])
    assert not any(torch.equal(first[: len(other)], other) for other in others)
    assert torch.equal(noise(0, 0, 'alpha'), first)
    assert torch.equal(torch.get_rng_state(), state)
    # Weights are read with the noise of the step, records without any.
    drawn, plain = (architecture.weights('projector', drawn=d) for d in (True, False))
    torch.testing.assert_close(plain, architecture.alpha('projector').softmax(dim=1))
    assert not torch.allclose(drawn, plain)
