# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Strategies: each config alone, over each framework's recipe, and what cannot be one."""

import re

import pytest
from mmengine.config import Config

from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.cli.reading import load_config
from nasiam_mm.cli.strategy import merge_strategy, own_settings
from nasiam_mm.ops.candidates import SPACES
from nasiam_mm.presets import framework_names
from tests.reduced import ROOT
from tests.small import search, train

FILES = sorted((ROOT / 'configs/search').glob('*.py'))
STRATEGIES = [file.stem for file in FILES]
FRAMEWORKS = framework_names()
SAMPLED = ['gdas', 'proxyless', 'spos']  # one path at a time
MIXED = [name for name in STRATEGIES if name not in SAMPLED]
# Each strategy with a framework, each framework with a strategy of either kind.
PAIRS = [
    (FRAMEWORKS[n % len(FRAMEWORKS)], kind[n % len(kind)])
    for kind in (MIXED, SAMPLED)
    for n in range(max(len(kind), len(FRAMEWORKS)))
]


@pytest.mark.parametrize('file', FILES, ids=STRATEGIES)
def test_what_a_strategy_writes_over_its_base_is_the_same_over_another(file):
    assert load_config(str(file)).model.type == 'SimSiam'
    own = own_settings(str(file))
    assert own.keys() <= {'model', 'default_hooks'}
    recipe = load_config(str(ROOT / 'configs/nasiam/byol_r18_search_cifar100.py'))
    before = recipe.to_dict()
    merge_strategy(recipe, file.stem)
    assert recipe.model.type == 'BYOL'
    assert set(recipe.model) - set(before['model']) <= {'relaxation', 'mixing', 'auxiliary'}
    for section in set(before) - {'model', 'default_hooks'}:
        assert recipe.to_dict()[section] == before[section]
    step = recipe.default_hooks.alpha_step
    assert step.dataloader == before['default_hooks']['alpha_step']['dataloader']


def test_every_strategy_and_every_framework_has_its_turn():
    assert {strategy for _, strategy in PAIRS} == {*STRATEGIES} >= {*SAMPLED}
    for kind in (MIXED, SAMPLED):
        assert {framework for framework, strategy in PAIRS if strategy in kind} == {*FRAMEWORKS}


@pytest.mark.parametrize(('framework', 'strategy'), PAIRS)
def test_a_strategy_searches_and_its_genotype_says_how(framework, strategy, tmp_path):
    space = list(list(SPACES.values())[PAIRS.index((framework, strategy)) % 3])
    cfg = search(framework, tmp_path, epochs=3, batch_size=128, space=space)
    merge_strategy(cfg, strategy)
    # Fewer of what the end of a search repeats.
    fewer = {'Perturbation': dict(tune_steps=1), 'BestOfSampled': dict(n=4)}
    if chosen := cfg.default_hooks.genotype.get('selection'):
        chosen.update(fewer.get(chosen.type, {}))
    runner = train(cfg)
    genotype = load_genotype(tmp_path / 'genotype.json')
    told, selection = genotype.provenance['search'], cfg.default_hooks.genotype.get('selection')
    assert told['second_order'] == cfg.default_hooks.alpha_step.get('second_order', False)
    assert [part['type'] for part in cfg.default_hooks.alpha_step.get('schedules', [])] == (
        told['schedules']
    )
    assert told['relaxation'] == type(runner.model.architecture.relaxation).__name__
    assert bool(told['auxiliary']) == ('auxiliary' in cfg.model)
    kinds = {'TopK': 'top_k', 'Threshold': 'threshold'}
    kinds |= {'Perturbation': 'perturbation', 'BestOfSampled': 'best_of_sampled'}
    assert genotype.provenance['selection'] == kinds[(selection or {}).get('type', 'TopK')]


@pytest.mark.parametrize('framework', FRAMEWORKS)
def test_a_virtual_step_is_one_that_the_optimizer_of_the_weights_has(framework):
    cfg = load_config(str(ROOT / f'configs/nasiam/{framework}_r18_search_cifar10.py'))
    merge_strategy(cfg, 'darts_second_order')
    is_sgd = cfg.optim_wrapper.optimizer.type == 'SGD'
    assert cfg.default_hooks.alpha_step.second_order == ('sgd' if is_sgd else True)
    assert is_sgd or framework in ('barlowtwins', 'vicreg')


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('model = dict(', 'cannot be put on another recipe: SyntaxError'),
        ('model = dict(lr=_base_.rate)', "NameError: name '_base_' is not defined"),
        ('model = 1 / 0', 'ZeroDivisionError: division by zero'),
    ],
)
def test_files_that_are_no_strategy(text, message, tmp_path):
    file = tmp_path / 'mine.py'
    file.write_text(f"_base_ = 'nothing.py'\n{text}\n")
    recipe = Config(dict(default_hooks=dict(alpha_step=dict(type='AlphaStepHook'))))
    with pytest.raises(ValueError, match=re.escape(message)):
        merge_strategy(recipe, str(file))


def test_a_name_that_is_no_strategy_and_a_recipe_that_searches_nothing():
    recipe = load_config(str(ROOT / 'configs/nasiam/byol_r18_search_cifar100.py'))
    with pytest.raises(FileNotFoundError, match=r"'search/gdass.py' does not exist; did you mean"):
        merge_strategy(recipe, 'gdass')
    with pytest.raises(ValueError, match='has no alpha_step; take one of configs/nasiam/'):
        merge_strategy(Config(dict(model=dict())), 'gdas')
