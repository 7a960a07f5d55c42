# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""How Barlow Twins and VICReg collapse without a term, and that the hook tells.

1. z that begins as a line, all channels saying the same, leaves it with all terms, not without that
   of pairs of channels; the effective rank tells, the spread does not.
2. So does VICReg leave a point, not without v and c; the spread tells.
3. Every recipe of the two watches both.
"""

import pytest
from mmengine.config import Config
from mmengine.hooks import Hook

from nasiam_mm.config_walk import find_hook
from tests.reduced import ROOT
from tests.test_engine.toy_siamese import (
    MEAN,
    STD,
    build_runner,
    collapse_lines,
    iterations_of,
    loader_cfg,
)

RECIPES = [
    path
    for name in ('barlowtwins', 'vicreg')
    for path in sorted((ROOT / 'configs/nasiam').glob(f'{name}_*.py'))
]


def barlow_twins(**loss):
    loss = dict(type='CrossCorrelationLoss', **loss)
    return 'BarlowTwins', dict(type='LatentCrossCorrelationHead', loss=loss)


def vicreg(**weights):
    return 'VICReg', dict(type='VICRegHead', **weights)


class Begins(Hook):
    """Lets z begin almost collapsed: to a point, or to a line, all channels alike."""

    def __init__(self, what):
        self.what = what

    def before_train(self, runner):
        last = runner.model.neck.fc1
        alike = last.weight.data[:1].clone() if self.what == 'line' else 0.0
        last.weight.data.mul_(0.01).add_(alike)
        last.bias.data.fill_(0.0 if self.what == 'line' else 1.0)


def trained(folder, algorithm, head, *hooks):
    """Train a tiny network under a recipe's hook; return its last measures and what was told."""
    neck = dict(
        type='NonLinearNeck', in_channels=8, hid_channels=16, out_channels=8, with_last_bn=False,
        with_last_bias=True, norm_cfg=dict(type='BN1d'),
    )  # fmt: skip
    model = dict(
        type=algorithm, backbone=dict(type='TinyBackbone'), neck=neck, head=head,
        data_preprocessor=dict(mean=MEAN, std=STD),
    )  # fmt: skip
    watch = {**find_hook(Config.fromfile(RECIPES[0]), 'CollapseHook'), 'interval': 1}
    runner = build_runner(
        folder,
        [watch],
        max_epochs=20,  # until the spread has settled
        model=model,
        train_dataloader=loader_cfg(16, shuffle=True, size=112, views=2, augment=True),
        optim_wrapper=dict(optimizer=dict(type='Adam', lr=0.03)),
    )
    for hook in hooks:
        runner.register_hook(hook)
    runner.train()
    found = {
        what: runner.message_hub.get_scalar(f'train/collapse/{what}').data[0][-1]
        for what in ('std', 'effective_rank')
    }
    return found, collapse_lines(folder)


@pytest.mark.parametrize(
    ('what', 'whole', 'less', 'measure'),
    [
        ('line', barlow_twins(lambd=0.1), barlow_twins(lambd=0.0), 'effective_rank 1.'),
        ('line', vicreg(), vicreg(covariance=0.0), 'effective_rank 1.'),
        ('point', vicreg(), vicreg(variance=0.0, covariance=0.0), 'std 0.0'),
    ],
)
def test_a_term_leads_out_of_collapse(what, whole, less, measure, tmp_path):
    left, _ = trained(tmp_path / f'{tmp_path.name}_whole', *whole, Begins(what))
    assert left['std'] > 0.5 and left['effective_rank'] > 2.5
    stays, lines = trained(tmp_path / f'{tmp_path.name}_less', *less, Begins(what))
    assert stays['effective_rank'] < 2
    assert (stays['std'] < 0.1) == (what == 'point')
    assert iterations_of(lines) == [3] and f': {measure}' in lines[0]


@pytest.mark.parametrize('path', RECIPES, ids=lambda path: path.stem)
def test_a_recipe_watches_spread_and_rank(path):
    hook = find_hook(Config.fromfile(path), 'CollapseHook')
    assert hook['rank_threshold'] == 2 and 'std_threshold' not in hook
