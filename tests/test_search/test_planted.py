# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Two layers with a planted best candidate, which every strategy finds in a real search.

The others keep one channel of the input, or the sign of one: what NT-Xent needs to tell images
apart is gone behind them.
"""

from unittest import mock

import pytest
import torch
from torch import nn

from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.cli.strategy import merge_strategy
from nasiam_mm.ops.candidates import CANDIDATE_OPS
from tests.small import leave_hooks, search, train
from tests.test_cli.test_strategy import STRATEGIES

# Alpha moves by gradient in a dozen steps; what is drawn more seldom needs more of them.
RATE = 0.3
# A composition that no paper has.
COMPOSED = dict(
    model=dict(
        relaxation=dict(type='GumbelStraightThrough', temperature=2.0),
        mixing=dict(type='PartialChannels', k=2, sampled_in=['weights']),
        auxiliary=dict(type='AuxiliarySkip'),
    ),
    alpha_step=dict(
        regularizers=[dict(type='BetaDecay', weight=0.1)],
        schedules=[dict(type='AuxiliaryDecay'), dict(type='AlphaWarmup', share=0.2)],
    ),
)


class OneChannel(nn.Module):
    """Repeats the mean of the channels in all of them, and so loudly that no skip is heard."""

    def __init__(self, width: int, signs: bool) -> None:
        super().__init__()
        self.width, self.signs = width, signs

    def forward(self, x):
        mean = x.mean(1, keepdim=True)
        mean = torch.ones_like(mean) if self.signs else mean
        return 10 * mean.expand(-1, self.width)

    def extra_repr(self):
        return f'{self.width}, signs={self.signs}'


@pytest.fixture(autouse=True)
def planted():
    """Two useless candidates beside a linear map with BatchNorm, for as long as a test."""
    ops = {
        f'one_{signs}': lambda in_channels, out_channels, is_output=False, signs=signs: OneChannel(
            out_channels, signs
        )
        for signs in (False, True)
    }
    with mock.patch.dict(CANDIDATE_OPS._module_dict, ops):
        yield


@pytest.mark.parametrize('strategy', [*STRATEGIES, None])
def test_the_planted_candidate_is_found(strategy, tmp_path):
    space = ['one_False', 'linear_bn_relu', 'one_True']
    cfg = search('simclr', tmp_path, epochs=6, batch_size=32, space=space)
    cfg.model.neck.depth = 2
    if strategy is not None:
        merge_strategy(cfg, strategy)
    else:
        cfg.model.update(COMPOSED['model'])
        cfg.default_hooks.alpha_step.update(COMPOSED['alpha_step'])
    leave_hooks(cfg, 'alpha_step', 'genotype')
    step = cfg.default_hooks.alpha_step
    step.interval = 1
    # It prefers what costs least, which here is useless.
    terms = step.get('regularizers', [])
    step.regularizers = [term for term in terms if term['type'] != 'ExpectedCost']
    if step.optimizer is not None:
        step.optimizer.update(lr=RATE)
    train(cfg)
    genotype = load_genotype(tmp_path / 'genotype.json')
    chosen = [decision.chosen for decision in genotype.of('projector')]
    assert chosen == [('linear_bn_relu',)] * 2
