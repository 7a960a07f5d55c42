# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Two layers with a planted best candidate, which every strategy finds in a real search.

The others take the views of an image apart, which NT-Xent is to bring together.
"""

from unittest import mock

import pytest
import torch
from mmengine.model import BaseModule
from torch import nn

from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.cli.strategy import merge_strategy
from nasiam_mm.ops.candidates import CANDIDATE_OPS
from nasiam_mm.registry import MODELS
from tests.small import WIDTH, leave_hooks, search, train
from tests.test_cli.test_strategy import STRATEGIES

# Alpha moves by gradient in a few dozen steps.
RATE = 0.3
BEST = 'linear'
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


class Colours(BaseModule):
    """Mean and deviation of each channel, standardised: known from the start, nothing to train."""

    def __init__(self) -> None:
        super().__init__()
        draw = torch.randn(WIDTH, 6, generator=torch.Generator().manual_seed(0))
        self.register_buffer('spread', draw)
        self.norm = nn.BatchNorm1d(WIDTH, affine=False)

    def forward(self, x):
        found = torch.cat([x.mean((2, 3)), x.std((2, 3))], dim=1) @ self.spread.T
        return (self.norm(found)[:, :, None, None],)


class Shuffled(nn.Module):
    """Gives each row of a joint batch what is another's."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed

    def forward(self, x):
        return x[torch.randperm(len(x), generator=torch.Generator().manual_seed(self.seed))]

    def extra_repr(self):
        return str(self.seed)


@pytest.fixture(autouse=True)
def planted():
    """Two useless candidates, for as long as a test."""
    ops = {
        f'shuffled_{seed}': lambda in_channels, out_channels, is_output=False, seed=seed: Shuffled(
            seed
        )
        for seed in (1, 2)
    }
    backbones = mock.patch.dict(MODELS._module_dict, Colours=Colours)
    with mock.patch.dict(CANDIDATE_OPS._module_dict, ops), backbones:
        yield


@pytest.mark.parametrize('strategy', [*STRATEGIES, None])
def test_the_planted_candidate_is_found(strategy, tmp_path):
    space = ['shuffled_1', BEST, 'shuffled_2']
    cfg = search('simclr', tmp_path, epochs=6, batch_size=32, space=space)
    cfg.model.neck.depth = 2
    cfg.model.backbone = dict(type='Colours')
    cfg.model.data_preprocessor.views = dict(size=16, scale=(0.5, 1.0), jitter=None, gray_prob=0)
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
    assert [decision.chosen for decision in genotype.of('projector')] == [(BEST,)] * 2
