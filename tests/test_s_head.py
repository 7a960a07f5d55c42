# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""S-head as it is shipped: drawn genotypes train by its recipes; a gradient search says no."""

import pytest
from mmengine.config import Config

from nasiam_mm.architecture.genotype import random_genotype, save_genotype
from nasiam_mm.checks.before_training import find_problems
from nasiam_mm.models.spaces import choices_of_model
from nasiam_mm.presets import framework_names
from nasiam_mm.unread import find_unread
from tests import small
from tests.reduced import ROOT, reduced

NAMES = sorted(path.stem for path in (ROOT / 'configs/heads').glob('*.py'))
# Depths 1, 2 and 4, and a predictor of each form.
SEEDS = (0, 2, 11)
WHOLE = ('simclr_r18_s_head_cifar10_demo', 'simsiam_r18_s_head_cifar10_demo')
# Every draw with and without a predictor, of the other frameworks one each.
DRAWN = [(name, seed) for name in WHOLE for seed in SEEDS]
DRAWN += [(name, SEEDS[n % 3]) for n, name in enumerate(NAMES, 1) if name not in WHOLE]


def test_there_is_one_and_a_study_of_it_for_every_framework():
    assert [f'{name}_r18_s_head_cifar10_demo' for name in framework_names()] == NAMES
    assert {*NAMES} <= {path.stem for path in (ROOT / 'configs/studies').glob('*.py')}


@pytest.mark.parametrize('name', NAMES)
def test_recipe_is_a_pretraining_with_a_space(name):
    cfg = Config.fromfile(ROOT / f'configs/heads/{name}.py')
    base = name.replace('_s_head_', '_pretrain_')
    twin = Config.fromfile(ROOT / f'configs/nasiam/{base}.py')
    assert find_unread(cfg) == []
    assert cfg.model.pop('space') and cfg.model == twin.model
    for key in ('train_dataloader', 'optim_wrapper', 'train_cfg', 'probe', 'default_hooks'):
        assert cfg[key] == twin[key]


@pytest.mark.parametrize(('name', 'seed'), DRAWN)
def test_what_is_drawn_trains(name, seed, tmp_path):
    cfg = reduced(f'heads/{name}', tmp_path / 'run')
    cfg.model.genotype = str(tmp_path / 'g.json')
    genotype = random_genotype(cfg.model.type, choices_of_model(cfg.model), seed)
    save_genotype(genotype, cfg.model.genotype)
    assert find_problems(cfg) == []
    small.leave_hooks(cfg, 'predictor_lr')
    runner = small.train(cfg)
    assert runner.iter > 0
    assert len(runner.model.neck.cell.layers) == genotype.settings('projector')['depth'] - 1


@pytest.mark.parametrize('name', NAMES)
def test_without_a_genotype_it_says_what_to_do(name, tmp_path):
    problems = find_problems(reduced(f'heads/{name}', tmp_path / 'run'))
    assert len(problems) == 1
    assert 'space.projector.depth: has 4 options, which no mixing by alpha decides' in problems[0]
    assert 'let a study decide' in problems[0] and len(problems[0]) <= 500
